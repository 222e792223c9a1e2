"""HAProxy's log as a file of bounded size, where no journal takes it."""

import contextlib
from collections.abc import Iterable
from pathlib import Path

LIMIT = 16 * 2**20
"""Bytes of the file, after which it is put aside as ``<name>.1`` in place of the one before."""


def write(lines: Iterable[bytes], path: Path, limit: int = LIMIT) -> None:
    """Append lines to a file until there are no more.

    What cannot be written is dropped: a full disk must not end what reads HAProxy's output.
    """
    for line in lines:
        with contextlib.suppress(OSError):
            if path.exists() and path.stat().st_size + len(line) > limit:
                path.replace(path.with_name(f"{path.name}.1"))
            with path.open("ab") as file:
                file.write(line)
