"""HAProxy's log as a file of bounded size, where there is no journal."""

import contextlib
import fcntl
import os
import select
from collections.abc import Iterable, Iterator
from pathlib import Path

LIMIT = 16 * 2**20
"""Bytes of the file, after which it is renamed to ``<name>.1``, replacing the previous one."""
_PIPE_BYTES = 2**20
"""HAProxy drops lines while the pipe is full. Any user may ask Linux for a pipe of this size."""
_MESSAGES_LIMIT, _MESSAGES_KEPT = 2**20, 2**17
"""Most bytes of HAProxy's own messages; of more, only the end stays."""
_IDLE_SECONDS = 10.0
"""Seconds after which the size of the messages is checked even without requests."""


def blocks(descriptor: int) -> Iterator[bytes]:
    """Yield the whole lines in a pipe, as many as there are, without waiting for more.

    A busy edge writes thousands of lines a second. Handling them one at a time would cost a third
    of HAProxy's own work for a request. While no lines come, this yields nothing now and then.
    """
    begun = b""
    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    while True:
        if not select.select([descriptor], [], [], _IDLE_SECONDS)[0]:
            yield b""
            continue
        read = os.read(descriptor, _PIPE_BYTES)
        if not read:
            break
        whole, end, begun = (begun + read).rpartition(b"\n")
        if end:
            yield whole + end
    if begun:
        yield begun


def write(
    lines: Iterable[bytes], path: Path, messages: Path | None = None, limit: int = LIMIT
) -> None:
    """Append lines, one or more at a time, to a file until there are no more.

    Lines that cannot be written are dropped: a full disk must not end the reader of HAProxy's log.

    Args:
        lines: The lines.
        path: The file.
        messages: The file of HAProxy's own messages, which is kept small.
        limit: Most bytes of the file.
    """
    for some in lines:
        if messages is not None:
            shorten(messages)
        with contextlib.suppress(OSError):
            if not some:
                continue
            if path.exists() and path.stat().st_size + len(some) > limit:
                path.replace(path.with_name(f"{path.name}.1"))
            with path.open("ab") as file:
                file.write(some)


def shorten(path: Path, limit: int = _MESSAGES_LIMIT, kept: int = _MESSAGES_KEPT) -> None:
    """Leave only the end of a file that others append to, if it is too long."""
    with contextlib.suppress(OSError):
        if path.stat().st_size <= limit:
            return
        with path.open("r+b") as file:
            file.seek(-kept, os.SEEK_END)
            _, _, end = file.read().partition(b"\n")
            file.seek(0)
            file.truncate()
            file.write(end)
