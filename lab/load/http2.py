"""One HTTP/2 connection, over cleartext with prior knowledge: h2 on an asyncio transport.

h2 ends a connection at the first GOAWAY, graceful or not (python-hyper/h2 issue 1181). A GOAWAY is
therefore taken out of the stream of frames before h2 sees it, and obeyed here: no new request, the
streams up to the last one that the server took go on, and only those above it fail.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError

from lab.load.http1 import Response
from lab.load.section import Failed

_HEAD = 9  # bytes; RFC 9113, section 4.1
_GOAWAY = 0x7
_LARGEST = 1 << 14  # bytes of a frame's payload, as nothing else was agreed on


@dataclass
class _Stream:
    answer: asyncio.Future[Response]
    status: int = 0
    body: bytearray = field(default_factory=bytearray)


class Http2(asyncio.Protocol):
    """A connection for several requests at a time."""

    def __init__(self) -> None:
        self.usable = True
        """Whether it takes new requests."""
        self._http = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self._streams: dict[int, _Stream] = {}
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the preface; asyncio calls this once, first."""
        self._transport = cast("asyncio.Transport", transport)
        tls = transport.get_extra_info("ssl_object")
        self._scheme = "http" if tls is None else "https"
        if tls is not None and tls.selected_alpn_protocol() != "h2":
            self.close()
        self._http.initiate_connection()
        self._flush()

    def full(self) -> bool:
        """Return whether the server allows no further stream at the moment."""
        return len(self._streams) >= self._http.remote_settings.max_concurrent_streams

    async def caught_up(self) -> None:
        """Let asyncio read the received data first: it may be a GOAWAY."""
        if not self.usable:
            return
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        for _ in range(4):
            if not self.usable or not poll.poll(0):
                return
            await asyncio.sleep(0)

    async def get(self, authority: str, path: str) -> Response:
        """Ask, and return the answer.

        Raises:
            Failed: There is none.
        """
        number = self._http.get_next_available_stream_id()
        stream = _Stream(asyncio.get_running_loop().create_future())
        self._streams[number] = stream
        self._http.send_headers(
            number,
            [
                (":method", "GET"),
                (":scheme", self._scheme),
                (":authority", authority),
                (":path", path),
            ],
            end_stream=True,
        )
        self._flush()
        try:
            return await stream.answer
        except asyncio.CancelledError:  # it took too long
            self._http.reset_stream(number)
            self._flush()
            raise
        finally:
            self._streams.pop(number, None)
            if not self.usable and not self._streams:
                self._transport.close()

    def retire(self) -> None:
        """Take no new requests, and end once those that are open are answered."""
        self.usable = False
        if not self._streams:
            self._transport.close()

    def close(self) -> None:
        """End the connection."""
        self.usable = False
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Handle received bytes, frame by frame."""
        self._buffer += data
        try:
            for frame in self._frames():
                if frame[3] == _GOAWAY:
                    self._go_away(frame)
                else:
                    for event in self._http.receive_data(frame):
                        self._handle(event)
        except ProtocolError:
            self._fail_above(0, "not HTTP/2")
            self.close()
            return
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the requests that are open."""
        self.usable = False
        self._fail_above(
            0, "connection reset" if exc else "connection closed before the answer's end"
        )

    def _frames(self) -> Iterator[bytes]:
        while len(self._buffer) >= _HEAD:
            length = int.from_bytes(self._buffer[:3])
            if length > _LARGEST:
                raise ProtocolError("a frame that is too large")
            if len(self._buffer) < _HEAD + length:
                return
            frame = bytes(self._buffer[: _HEAD + length])
            del self._buffer[: _HEAD + length]
            yield frame

    def _go_away(self, frame: bytes) -> None:
        last = int.from_bytes(frame[_HEAD : _HEAD + 4]) & 0x7FFFFFFF
        self._fail_above(last, "refused by a GOAWAY")
        self.retire()

    def _handle(self, event: Event) -> None:
        number = getattr(event, "stream_id", None)
        stream = self._streams.get(number) if number is not None else None
        if isinstance(event, DataReceived):
            # A stream that is over counts for the connection's window all the same.
            self._http.acknowledge_received_data(
                event.flow_controlled_length or 0, event.stream_id or 0
            )
        if stream is None or stream.answer.done():
            return
        if isinstance(event, ResponseReceived):
            stream.status = int(dict(event.headers or [])[b":status"])
        elif isinstance(event, DataReceived):
            stream.body += event.data or b""
        elif isinstance(event, StreamEnded):
            stream.answer.set_result(Response(stream.status, bytes(stream.body)))
        elif isinstance(event, StreamReset):
            stream.answer.set_exception(Failed("stream reset"))

    def _fail_above(self, last: int, reason: str) -> None:
        for number, stream in list(self._streams.items()):
            if number > last and not stream.answer.done():
                stream.answer.set_exception(Failed(reason))

    def _flush(self) -> None:
        data = self._http.data_to_send()
        if data:
            self._transport.write(data)
