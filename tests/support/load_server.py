"""A server that answers like `hello`, over HTTP/1.1 and HTTP/2, and misbehaves on demand."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import h11
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived
from hyperframe.frame import GoAwayFrame
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

HELLO = b"hello-web-0-0\n"

Behaviour = Callable[[int], str]
"""From a request's number, from 1, to what happens to it:

ok; reset, the connection is; vanish, the connection is closed without
an answer; 502; hang; truncate, half of the body that is announced; twice, lose: the body comes
twice or not at all; close, announced; close idle, not announced; and over HTTP/2 go away, which
takes what was sent before the client knew (RFC 9113, 6.8), and refuse, which does not take the
request.
"""


class LoadServer:
    """The server, on loopback."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.requests = 0
        self.connections = 0
        self.port = 0
        self._behaviour = behaviour
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()

    def next(self) -> str:
        """Count a request and return the behavior for it."""
        self.requests += 1
        return self._behaviour(self.requests)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            first = await reader.read(65536)
            if first.startswith(b"PRI"):
                await self._http2(first, reader, writer)
            elif b"websocket" in first:
                await self._websocket(first, reader, writer)
            elif first:
                await self._http1(first, reader, writer)
        except (ConnectionError, asyncio.CancelledError, h11.RemoteProtocolError):
            writer.transport.abort()
        finally:
            writer.close()
            self._tasks.discard(task)

    async def stop(self) -> None:
        """End all connections."""
        self._stop.set()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _http1(
        self, data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        http = h11.Connection(h11.SERVER)
        http.receive_data(data)
        while True:
            request, body = None, b""
            while not isinstance(event := http.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    http.receive_data(await reader.read(65536))
                elif isinstance(event, h11.Request):
                    request = event
                elif isinstance(event, h11.Data):
                    body += event.data
                else:
                    return
            assert request is not None
            behavior = self.next()
            answer = body if request.method == b"POST" else HELLO
            if behavior == "hang":
                await self._stop.wait()
            if behavior == "reset":
                _reset(writer)
            if behavior in ("hang", "reset", "vanish"):
                return
            sent = {"twice": answer * 2, "lose": b""}.get(behavior, answer)
            closes = behavior == "close" or (b"connection", b"close") in request.headers
            head = [("Content-Length", str(len(sent))), *([("Connection", "close")] * closes)]
            status = 502 if behavior == "502" else 200
            writer.write(http.send(h11.Response(status_code=status, headers=head)) or b"")
            if behavior == "truncate":
                writer.write(sent[: len(sent) // 2])
                return
            writer.write(http.send(h11.Data(sent)) or b"")
            writer.write(http.send(h11.EndOfMessage()) or b"")
            await writer.drain()
            if closes or behavior == "close idle":
                return
            http.start_next_cycle()

    async def _http2(
        self, data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        http = H2Connection(H2Configuration(client_side=False))
        http.initiate_connection()
        while data:
            for event in http.receive_data(data):
                if not isinstance(event, RequestReceived):
                    continue
                assert event.stream_id is not None
                behavior = self.next()
                if behavior in ("go away", "refuse"):
                    writer.write(http.data_to_send())
                    last = event.stream_id - 2 if behavior == "refuse" else (1 << 31) - 1
                    writer.write(GoAwayFrame(0, last_stream_id=last).serialize())
                if behavior == "reset":
                    _reset(writer)
                    return
                if behavior == "vanish":
                    return
                self._answer2(http, event.stream_id, behavior)
            writer.write(http.data_to_send())
            data = await reader.read(65536)

    async def _websocket(
        self, data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        protocol = ServerProtocol()
        behavior = self.next()
        while data:
            protocol.receive_data(data)
            for event in protocol.events_received():
                if isinstance(event, Request):
                    refused = protocol.reject(502, "") if behavior == "502" else None
                    protocol.send_response(refused or protocol.accept(event))
                    continue
                assert isinstance(event, Frame)
                if behavior == "truncate" and event.opcode is Opcode.CLOSE:
                    return
                if event.opcode is Opcode.TEXT:
                    if behavior == "reset":
                        _reset(writer)
                    if behavior in ("reset", "vanish"):
                        return
                    if behavior != "hang":
                        protocol.send_text(b"other" if behavior == "lose" else bytes(event.data))
            for each in protocol.data_to_send():
                writer.write(each)
            if protocol.state is State.CLOSED or protocol.close_expected():
                return
            data = await reader.read(65536)

    @staticmethod
    def _answer2(http: H2Connection, stream: int, behavior: str) -> None:
        if behavior in ("hang", "refuse"):
            return
        if behavior == "reset stream":
            http.reset_stream(stream)
            return
        status = "502" if behavior == "502" else "200"
        http.send_headers(stream, [(":status", status), ("content-length", str(len(HELLO)))])
        if behavior == "truncate":
            http.send_data(stream, HELLO[:4])
            http.reset_stream(stream)
            return
        http.send_data(stream, HELLO, end_stream=True)


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def serving(
    behaviour: Behaviour, certificate: Path | None = None
) -> AsyncIterator[LoadServer]:
    """Serve for the time of the block, with TLS if there is a certificate."""
    server = LoadServer(behaviour)
    tls = None
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
        tls.set_alpn_protocols(["h2", "http/1.1"])
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await server.stop()
        await listening.wait_closed()
