"""Files that are replaced whole or not at all."""

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

_NEW = 0o666
"""Permission bits of a new file, before the umask clears some."""


def write_whole(
    file: Path, content: str | bytes, *, mode: int | None = None, durable: bool = True
) -> None:
    """Replace a file, as ``staged`` does.

    Raises:
        OSError: It failed; the file is unchanged.
    """
    with staged({file: content}, mode=mode, durable=durable):
        pass


@contextlib.contextmanager
def staged(
    contents: Mapping[Path, str | bytes], *, mode: int | None = None, durable: bool = True
) -> Iterator[None]:
    """Write new contents beside files, and put them in place if the body does not raise.

    Args:
        contents: The new contents, by the file; text is written as UTF-8.
        mode: The files' permission bits, whatever the umask is. By default, a file that exists
            keeps its mode and its owner, and a new one gets the bits that the umask leaves.
        durable: Whether to flush each file to the disk before it replaces the old one, and the
            folder before this returns. Otherwise, a power failure may leave an empty file.

    Raises:
        OSError: A file could not be written; they are as they were.
    """
    parts = {file: part_of(file) for file in contents}
    try:
        for file, content in contents.items():
            _write(parts[file], content, file, mode, durable=durable)
        yield
        for file, its in parts.items():
            its.replace(file)
    except BaseException:
        for its in parts.values():
            with contextlib.suppress(OSError):  # it is in its place, or was never there
                its.unlink()
        raise
    for folder in {file.parent for file in contents if durable}:
        with contextlib.suppress(OSError):  # a file system that cannot; the files are in place
            _sync(folder)


def part_of(file: Path) -> Path:
    """Return the path of a file's new content until it is complete. A killed program leaves it."""
    return file.with_name(f"{file.name}.part")


def _write(its: Path, content: str | bytes, file: Path, mode: int | None, *, durable: bool) -> None:
    before = file.stat() if mode is None and file.is_file() else None
    if before is not None:
        mode = stat.S_IMODE(before.st_mode)
    # A link that somebody has put there is not followed.
    its.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(its, flags, _NEW if mode is None else 0o600), "wb") as target:
        if before is not None and (before.st_uid, before.st_gid) != _owner(target.fileno()):
            os.fchown(target.fileno(), before.st_uid, before.st_gid)
        if mode is not None:
            os.fchmod(target.fileno(), mode)
        target.write(content.encode() if isinstance(content, str) else content)
        target.flush()
        if durable:
            os.fsync(target.fileno())


def _owner(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_uid, found.st_gid


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
