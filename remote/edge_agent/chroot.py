"""The root folder of HAProxy's workers: what they could reach if somebody took one over.

A worker listens and reads its files first and then makes this its root, so all that has to be in it
is what it connects to later: the sockets to the worker after it. Each is in there under the path
that it has outside, as another link to the same socket. So haproxy.cfg has one path for both, and a
worker from before there was a root, or from after it was given up, meets the same listener.
"""

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

FOLDER = "chroot"
"""Below the edge's; belongs to root, and nobody else may write into it."""
SOCKETS = ("next.sock", "peers.sock")


def make(folder: Path) -> None:
    """Have a root for the workers of the edge in ``folder``, without anything in it yet."""
    at = folder
    for part in (FOLDER, *folder.relative_to("/").parts):
        at /= part
        at.mkdir(exist_ok=True)
        at.chmod(0o711)  # to be passed, and no more


def link(folder: Path) -> None:
    """Let workers reach the sockets that are there now; HAProxy makes new ones when it starts."""
    with (folder / "chroot.lock").open("w") as lock:
        # systemd runs this too, when it has started HAProxy again.
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in SOCKETS:
            outside, inside = folder / name, _inside(folder) / name
            part = inside.with_suffix(".part")
            part.unlink(missing_ok=True)
            if outside.is_socket() and not (inside.exists() and inside.samefile(outside)):
                os.link(outside, part)
                part.replace(inside)


def holds(folder: Path, pids: Iterable[int]) -> bool:
    """Return whether these processes have it as their root, but for those that have ended."""
    roots = (_root(pid) for pid in pids)
    return all(root is None or root == _identity(folder / FOLDER) for root in roots)


def _root(pid: int) -> tuple[int, int] | None:
    try:
        return _identity(Path(f"/proc/{pid}/root"))
    except OSError:
        return None


def _identity(path: Path) -> tuple[int, int]:
    """Return what names a folder in any mount namespace; a unit of systemd has one of its own."""
    found = path.stat()
    return found.st_dev, found.st_ino


def _inside(folder: Path) -> Path:
    return folder / FOLDER / folder.relative_to("/")
