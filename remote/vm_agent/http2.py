"""A health check over HTTP/2, or as a call of gRPC's.

As much of RFC 9113 and RFC 7541 as that takes, since the standard library has neither.
"""

import re
import socket

from remote.vm_agent.http1 import cut_after

GRPC_HEALTH = "/grpc.health.v1.Health/Check"
_HPACK_STATUS = {
    bytes((0x88 + index,)): status
    for index, status in enumerate((200, 204, 206, 304, 400, 404, 500))
}


def http2_status(server: tuple[str, int], host: str, path: str, timeout: float) -> int:
    """Return the status of the answer to a GET over HTTP/2, or to a call of gRPC's if it is one.

    Raises:
        OSError: There is none.
    """
    call = path == GRPC_HEALTH
    fields = (b"\x83" if call else b"\x82") + b"\x86" + b"\x04" + _hpack(path)
    fields += b"\x01" + _hpack(host)
    if call:
        fields += b"\x0f\x10" + _hpack("application/grpc")
        fields += b"\x00" + _hpack("te") + _hpack("trailers")
    sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, b"")
    sent += _frame(1, 4 if call else 5, 1, fields) + (_frame(0, 1, 1, bytes(5)) if call else b"")
    with (
        socket.create_connection(server, timeout=timeout) as connection,
        cut_after(connection, timeout),
    ):
        connection.sendall(sent)
        with connection.makefile("rb") as reader:
            while len(head := reader.read(9)) == 9:
                payload = reader.read(int.from_bytes(head[:3], "big"))
                kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
                if (kind, stream) == (1, 1):
                    # Ahead of the fields there may be the length of what pads them, and a priority.
                    return _hpack_status(payload[bool(flags & 8) + 5 * bool(flags & 32) :])
                if kind == 7 or (kind, stream) == (3, 1):
                    raise OSError(f"HTTP/2 error in a frame of type {kind}")
        raise OSError("no answer in HTTP/2")


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big")
    return head + payload


def _hpack(text: str) -> bytes:
    """Return a string literal, whose length has a prefix of 7 bits."""
    value = text.encode()
    if (more := len(value) - 127) < 0:
        return bytes((len(value),)) + value
    length = b"\x7f"
    while more >= 128:
        length += bytes((more % 128 + 128,))
        more //= 128
    return length + bytes((more,)) + value


def _hpack_status(block: bytes) -> int:
    """Return the status that a block of fields begins with; 0 if it does not."""
    while block[:1] and block[0] & 0xE0 == 0x20:  # another size of the table
        more = re.match(rb"\x3f[\x80-\xff]*", block)  # of its number, when that is a large one
        block = block[more.end() + 1 if more else 1 :]
    if block[:1] in _HPACK_STATUS:
        return _HPACK_STATUS[block[:1]]
    if len(block) < 3 or block[0] not in (0x08, 0x18, 0x48):
        return 0
    value = block[2 : 2 + (block[1] & 127)]
    if not block[1] & 128:
        return int(value) if value.isdigit() else 0
    if len(value) not in (2, 3):
        return 0
    # Huffman's codes: 0 to 2 have five bits and begin with 00; 3 to 9 have six and come after 24.
    bits, status = f"{int.from_bytes(value, 'big'):0{8 * len(value)}b}", 0
    for _ in range(3):
        size = 5 if bits.startswith("00") else 6
        status = status * 10 + int(bits[:size], 2) - (0 if size == 5 else 22)
        bits = bits[size:]
    return max(status, 0)
