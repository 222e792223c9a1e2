"""The processes of this machine, by their command lines."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")


def command_lines() -> Iterator[tuple[int, list[str]]]:
    """Yield PID and command line of each process, but not of those in containers.

    In a container, the same path is another folder.
    """
    ours = _namespace("self")
    for process in _PROC.glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if _namespace(process.name) in {ours, None}:
                yield int(process.name), words


def _namespace(process: str) -> int | None:
    """Return what names the PID namespace of a process, or None if only root may know."""
    try:
        return (_PROC / process / "ns/pid").stat().st_ino
    except OSError:
        return None


def logging() -> Iterator[tuple[Path, str]]:
    """Yield folder and name of each edge whose access log a process writes."""
    for _, words in command_lines():
        found = _logged(words)
        if found is not None:
            yield found


def _logged(words: Sequence[str]) -> tuple[Path, str] | None:
    for at, word in enumerate(words[:-3]):
        found = re.fullmatch(r"(/.*)/keeper\.pyz", word)
        if found and list(words[at + 1 : at + 3]) == ["log", found[1]]:
            return Path(found[1]), words[at + 3]
    return None
