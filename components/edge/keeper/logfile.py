"""HAProxy's log as a file of bounded size, where no journal takes it."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

LIMIT = 16 * 2**20
"""Bytes of the file, after which it is put aside as ``<name>.1`` in place of the one before."""
_MOST_AT_ONCE = 2**16


def blocks(descriptor: int) -> Iterator[bytes]:
    """Yield what comes from a pipe, in whole lines: as many as there are, without waiting for more.

    A busy edge writes thousands of lines a second, and one at a time costs as much as a third of
    what HAProxy itself takes for a request.
    """
    begun = b""
    while read := os.read(descriptor, _MOST_AT_ONCE):
        whole, end, begun = (begun + read).rpartition(b"\n")
        if end:
            yield whole + end
    if begun:
        yield begun


def write(lines: Iterable[bytes], path: Path, limit: int = LIMIT) -> None:
    """Append lines, one or more at a time, to a file until there are no more.

    What cannot be written is dropped: a full disk must not end what reads HAProxy's output.
    """
    for some in lines:
        with contextlib.suppress(OSError):
            if path.exists() and path.stat().st_size + len(some) > limit:
                path.replace(path.with_name(f"{path.name}.1"))
            with path.open("ab") as file:
                file.write(some)
