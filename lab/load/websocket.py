"""One WebSocket: websockets' protocol on an asyncio transport, which never reconnects."""

from __future__ import annotations

import asyncio
from typing import cast

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from lab.load.section import Failed

_CLOSED = "connection closed before the answer's end"
_NORMAL = 1000  # RFC 6455, section 7.4.1


class WebSocket(asyncio.Protocol):
    """A connection to a server that returns each message."""

    def __init__(self) -> None:
        self._answer: asyncio.Future[str] | None = None
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; asyncio calls this once, first."""
        self._transport = cast("asyncio.Transport", transport)

    async def open(self, url: str) -> None:
        """Ask for a WebSocket, and wait until it is open.

        Raises:
            Failed: The server does not agree.
        """
        self._protocol = ClientProtocol(parse_uri(url))
        self._protocol.send_request(self._protocol.connect())
        await self._next()

    async def echo(self, message: str) -> str:
        """Send a message and return the next one that comes.

        Raises:
            Failed: None does.
        """
        self._protocol.send_text(message.encode())
        return await self._next()

    async def end(self) -> None:
        """Close the WebSocket, and wait until the server has closed it and the connection.

        Raises:
            Failed: It closed the connection without that.
        """
        self._protocol.send_close(_NORMAL)
        self._flush()
        await self._ended
        if self._protocol.close_rcvd is None:
            raise Failed(_CLOSED)

    def close(self) -> None:
        """End the connection at once."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Handle received bytes."""
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self._opened()
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self._answered(bytes(event.data).decode())
        self._flush()

    def eof_received(self) -> None:
        """The server sends no more."""
        self._protocol.receive_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the message that is open."""
        self._fail("connection reset" if exc else _CLOSED)
        if not self._ended.done():
            self._ended.set_result(None)

    def _opened(self) -> None:
        error = self._protocol.handshake_exc
        if isinstance(error, InvalidStatus):
            self._fail(f"status {error.response.status_code}")
        elif isinstance(error, InvalidHandshake):
            self._fail("no WebSocket")
        elif self._protocol.state is State.OPEN:
            self._answered("")

    async def _next(self) -> str:
        self._answer = asyncio.get_running_loop().create_future()
        self._flush()
        if self._transport.is_closing():
            self._fail(_CLOSED)
        return await self._answer

    def _answered(self, text: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(text)

    def _fail(self, reason: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Failed(reason))

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:  # the protocol's mark for the end of the data to send
                self._transport.close()
