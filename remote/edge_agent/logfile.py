"""HAProxy's log as a file of bounded size, where no journal takes it."""

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
"""Bytes of HAProxy's own messages, and of their end that stays when there are more."""
_IDLE_SECONDS = 10.0
"""Seconds after which the size of the messages is checked even without requests."""


def blocks(descriptor: int) -> Iterator[bytes]:
    """Yield what comes from a pipe, in whole lines: as many as there are, without waiting for more.

    A busy edge writes thousands of lines a second, and one at a time costs as much as a third of
    what HAProxy itself takes for a request. Nothing is yielded now and then, where nothing comes.
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
        lines: What is to be appended.
        path: To which file.
        messages: The file that HAProxy's shell appends messages to, which is kept small.
        limit: Bytes of the file.
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
