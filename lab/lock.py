"""One command at a time per lab: a lock that ends with its holder, and names it."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import sys
import time
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

ORPHAN_TIMEOUT = 10.0  # s; the holder was killed, and its children are just being killed too
POLL = 0.05  # s


class LockError(Exception):
    """Another process holds the lock, or this user may not lock; the text says what to do."""


class Lock:
    """A lock on the file `path`, held from `with` to its end; the second one gets a `LockError`.

    The kernel drops it when its holder ends, however that ends, so no lock is ever stale. The file
    itself stays: removing it would let a third one lock a new file of the same name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        except PermissionError as error:
            raise LockError(
                f"{self.path}: only root may use a lab (this is uid {os.geteuid()}): run it as root"
            ) from error
        deadline = time.monotonic() + ORPHAN_TIMEOUT
        while not _taken(fd):
            holder = os.pread(fd, 4096, 0).decode(errors="replace")
            if alive(holder) or time.monotonic() > deadline:
                os.close(fd)
                raise LockError(busy(self.path, holder))
            time.sleep(POLL)
        os.ftruncate(fd, 0)
        os.pwrite(fd, describe(os.getpid(), sys.argv).encode(), 0)
        self._fd = fd
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._fd is not None:
            # Not LOCK_UN: a child that was given the descriptor may still be at work under the
            # lock.
            os.close(self._fd)
            self._fd = None

    def fileno(self) -> int | None:
        """The descriptor that carries the lock, for a child that works under it, if held."""
        return self._fd


def _taken(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def alive(holder: str) -> bool:
    """Whether the process that `describe` recorded still runs; true if it is unknown."""
    try:
        return (Path("/proc") / str(json.loads(holder)["pid"])).exists()
    except (ValueError, KeyError, TypeError):
        return True


def describe(pid: int, argv: list[str]) -> str:
    """Return the lock file's text: a description of the process that holds it."""
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    return json.dumps({"pid": pid, "command": shlex.join(argv), "since": since})


def busy(path: Path, holder: str) -> str:
    """Return the error for a process that finds the lock taken; `describe` wrote `holder`."""
    try:
        saved = json.loads(holder)
        who = f"pid {saved['pid']} ({saved['command']}), since {saved['since']}"
    except (ValueError, KeyError, TypeError):  # it has the lock, but has not written its text yet
        who = "another command that has just begun"
    return (
        f"the lab is in use by {who}: wait until that has ended, or end it, and run again "
        f"(lock: {path})"
    )
