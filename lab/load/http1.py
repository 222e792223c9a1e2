"""One HTTP/1.1 connection: h11 on an asyncio transport, and no second attempt at anything."""

from __future__ import annotations

import asyncio
import select
from dataclasses import dataclass
from typing import cast

import h11

from lab.load.section import Failed

_CLOSED = "connection closed before the answer's end"


@dataclass(frozen=True)
class Response:
    """A whole answer."""

    status: int
    body: bytes


class Http1(asyncio.Protocol):
    """A connection for one request at a time."""

    def __init__(self) -> None:
        self.usable = True
        """Whether another request may be sent once this one is answered."""
        self._http = h11.Connection(h11.CLIENT)
        self._answer: asyncio.Future[Response] | None = None
        self._status = 0
        self._body = bytearray()
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; asyncio calls this once, first."""
        self._transport = cast("asyncio.Transport", transport)

    def begin(self, *events: h11.Request | h11.EndOfMessage) -> asyncio.Future[Response]:
        """Begin a request, and return a future of its answer, or of `Failed`."""
        self._answer = asyncio.get_running_loop().create_future()
        self._body.clear()
        self.send(*events)
        return self._answer

    def send(self, *events: h11.Request | h11.Data | h11.EndOfMessage) -> None:
        """Send more of the request."""
        data = b"".join(self._http.send(event) or b"" for event in events)
        if data:
            self._transport.write(data)

    def stale(self) -> bool:
        """Return whether the server has closed the idle connection, or sent data on it.

        This asks the kernel, because asyncio may not have read the data yet.
        """
        if not self.usable:
            return True
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        """End the connection, and with it a request that is still open."""
        self.usable = False
        if self._answer is not None and not self._answer.done():
            self._answer.cancel()
            self._transport.abort()
        else:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Handle received bytes; unexpected ones end the connection."""
        if self._answer is None or self._answer.done():
            self.close()
            return
        self._http.receive_data(data)
        self._read()

    def eof_received(self) -> None:
        """The server sends no more: the end of an answer without a length, or of a broken one."""
        self.usable = False
        self._ended = True
        if self._answer is not None and not self._answer.done():
            self._http.receive_data(b"")
            self._read()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request that is open."""
        self.usable = False
        self._fail("connection reset" if exc else _CLOSED)

    def _read(self) -> None:
        try:
            while True:
                event = self._http.next_event()
                if isinstance(event, h11.Response):
                    self._status = event.status_code
                elif isinstance(event, h11.Data):
                    self._body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    self._complete()
                    return
                elif event is h11.NEED_DATA or event is h11.PAUSED:
                    return
                elif isinstance(event, h11.ConnectionClosed):
                    self._fail(_CLOSED)
                    return
        except h11.RemoteProtocolError:
            self._fail(_CLOSED if self._ended else "not HTTP/1.1")
            self.close()

    def _complete(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Response(self._status, bytes(self._body)))
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        else:  # `Connection: close`, or answered before the request's end
            self.close()

    def _fail(self, reason: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Failed(reason))
