"""The root folder of HAProxy's workers: all that a hijacked worker could reach.

A worker listens and reads its files first, and then makes this its root. So the folder only needs
the sockets to which a worker connects later: those of the next worker. Each is a second link to the
same socket, under the same path as outside. So haproxy.cfg has one path for both, and a worker
without a chroot, from an older or newer version, reaches the same listener.
"""

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

FOLDER = "chroot"
"""The root's name below the edge's folder. It belongs to root, and nobody else may write there."""
NEXT, PEERS = SOCKETS = ("next.sock", "peers.sock")
"""The next worker's sockets: for requests, and for the counts of clients' requests."""


def make(folder: Path) -> None:
    """Create the workers' root for the edge in ``folder``, still empty."""
    at = folder
    for part in (FOLDER, *folder.relative_to("/").parts):
        at /= part
        at.mkdir(exist_ok=True)
        at.chmod(0o711)  # may be traversed, not listed


def link(folder: Path) -> None:
    """Link the current sockets into the workers' root; HAProxy makes new ones at each start."""
    with (folder / "chroot.lock").open("a") as lock:
        # systemd runs this too, after it has restarted HAProxy.
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in SOCKETS:
            outside, inside = folder / name, _inside(folder) / name
            part = inside.with_suffix(".part")
            part.unlink(missing_ok=True)
            if outside.is_socket() and not (inside.exists() and inside.samefile(outside)):
                os.link(outside, part)
                part.replace(inside)


def holds(folder: Path, pids: Iterable[int]) -> bool:
    """Return whether all of these processes that still run are in the chroot."""
    roots = (root(pid) for pid in pids)
    return all(each is None or each == identity(folder / FOLDER) for each in roots)


def root(pid: int) -> tuple[int, int] | None:
    """Return the identity of a process's root, or None if there is no such process."""
    try:
        return identity(Path(f"/proc/{pid}/root"))
    except OSError:
        return None


def identity(path: Path) -> tuple[int, int]:
    """Return a folder's identity across mount namespaces; a unit of systemd has its own."""
    found = path.stat()
    return found.st_dev, found.st_ino


def _inside(folder: Path) -> Path:
    return folder / FOLDER / folder.relative_to("/")
