"""Clients of WebSockets and HTTP/2 on a given connection, each of which sends everything once."""

import contextlib
import socket
import ssl
import uuid
from typing import Self

import h2.connection
import h2.events
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import Event
from websockets.uri import parse_uri

_GOAWAY = 7  # RFC 9113, 6.8


class WebSocketClient:
    """A client of WebSockets that reads and writes in one thread.

    The library's own client reads in another thread, but a TLS connection of Python's must not be
    used by two threads.
    """

    def __init__(self, connection: socket.socket, scheme: str, host: str) -> None:
        self._protocol = ClientProtocol(parse_uri(f"{scheme.replace('http', 'ws')}://{host}/"))
        self._events: list[Event] = []
        self._socket = connection
        self._protocol.send_request(self._protocol.connect())
        self._event()
        if self._protocol.handshake_exc is not None:
            raise self._protocol.handshake_exc

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def echo(self) -> None:
        """Send a message and see it come back."""
        message = uuid.uuid4().hex.encode()
        self._protocol.send_text(message)
        frame = self._event()
        assert isinstance(frame, Frame), frame
        assert frame.data == message, frame

    def close(self) -> None:
        """Close the WebSocket, and wait for the server's close frame."""
        self._protocol.send_close()
        frame = self._event()
        assert isinstance(frame, Frame), frame
        assert frame.opcode is Opcode.CLOSE, frame

    def _event(self) -> Event:
        """Send pending data, and return the next event."""
        while True:
            for data in self._protocol.data_to_send():
                if data:
                    self._socket.sendall(data)
            self._events += self._protocol.events_received()
            while self._events:
                event = self._events.pop(0)
                # The library answers the server's pings itself.
                if not (isinstance(event, Frame) and event.opcode is Opcode.PING):
                    return event
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionError("the connection was closed without a close frame")
            self._protocol.receive_data(data)


class Http2Client:
    """A client of HTTP/2 on one connection; without TLS, with prior knowledge."""

    def __init__(self, connection: socket.socket, scheme: str, host: str) -> None:
        self.goodbye = False
        """Whether the edge has sent a GOAWAY."""
        self._scheme = scheme
        self._host = host
        self._socket = connection
        if isinstance(self._socket, ssl.SSLSocket):
            assert self._socket.selected_alpn_protocol() == "h2"
        self._received = b""
        self._protocol = h2.connection.H2Connection()
        self._protocol.initiate_connection()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def may_request(self) -> bool:
        """Return whether the edge has sent no GOAWAY yet."""
        # The readable data may be a TLS record without any HTTP/2 data.
        self._socket.setblocking(False)
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
            while not self.goodbye:
                self._events()
        self._socket.settimeout(10)
        return not self.goodbye

    def get(self, request_id: str) -> str:
        """Send a request and return the answer's status."""
        stream = self._protocol.get_next_available_stream_id()
        headers = {
            ":method": "GET",
            ":path": "/",
            ":scheme": self._scheme,
            ":authority": self._host,
        }
        fields = [*headers.items(), ("x-id", request_id)]
        self._protocol.send_headers(stream, fields, end_stream=True)
        status = b""
        while True:
            self._socket.sendall(self._protocol.data_to_send())
            for event in self._events():
                if isinstance(event, h2.events.ResponseReceived):
                    status = dict(event.headers)[b":status"]
                elif isinstance(event, h2.events.StreamReset):
                    raise ConnectionResetError("the stream was reset")
                elif isinstance(event, h2.events.StreamEnded):
                    return status.decode()

    def _events(self) -> list[h2.events.Event]:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the connection was closed without a GOAWAY")
        self._received += data
        events = []
        while len(self._received) >= 9:
            end = 9 + int.from_bytes(self._received[:3], "big")
            frame, rest = self._received[:end], self._received[end:]
            if len(frame) < end:
                break
            self._received = rest
            # h2 would end all requests at a GOAWAY; those in flight may still be answered.
            if frame[3] == _GOAWAY:
                self.goodbye = True
            else:
                events += self._protocol.receive_data(frame)
        return events
