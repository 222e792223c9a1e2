"""The processes of edges on this machine, by their command lines."""

import pwd
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")


def command_lines() -> Iterator[tuple[int, list[str]]]:
    """Yield PID and command line of each process that could be an edge's.

    Processes in containers are left out: there, the same path is another folder. So are those of
    users other than root and the workers' own: anybody may start a program with any command line.
    """
    ours = _namespace("self")
    owners = {"0", str(_worker_uid())}
    for process in _PROC.glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if (
                _namespace(process.name) in {ours, None}
                and _uids(process) <= owners
                and not _is_for_anybody(process)
            ):
                yield int(process.name), words


def _namespace(process: str) -> int | None:
    """Return the identity of a process's PID namespace, or None if only root may see it."""
    try:
        return (_PROC / process / "ns/pid").stat().st_ino
    except OSError:
        return None


def _uids(process: Path) -> set[str]:
    """Return the real, effective, saved and file system user ID of a process."""
    found = re.search(r"^Uid:(.*)$", (process / "status").read_text(errors="replace"), re.MULTILINE)
    return set(found[1].split()) if found else {""}


def _worker_uid() -> int:
    """Return the user ID of HAProxy's workers, as Debian's package names the user."""
    try:
        return pwd.getpwnam("haproxy").pw_uid
    except KeyError:
        return 0


def _is_for_anybody(process: Path) -> bool:
    """Return whether a process's program is setuid root, such as su, so that anybody may run it."""
    try:
        return bool((process / "exe").stat().st_mode & stat.S_ISUID)
    except OSError:  # only root may see it
        return False


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
