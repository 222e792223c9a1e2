"""Two loops in shells that keep HAProxy and its log running where there is no systemd.

One restarts HAProxy, the other one the writer of its log. Each holds a lock while it lives, so
`restore` notices that one was killed. It replaces the loop while HAProxy keeps serving: the pipe
for the log is HAProxy's standard output, and Linux lets root open its other end.
"""

import fcntl
import os
import shlex
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from remote.edge_agent import processes, systemd
from remote.texts import template_of

_HAPROXY, _LOG = "HAProxy", "its log"
_HAPROXY_LOOP = template_of("remote.edge_agent", "haproxy-loop.sh")
_LOG_LOOP = template_of("remote.edge_agent", "log-loop.sh")
_WRITER_PAUSE = 1.0
"""Seconds before a failed writer is restarted; the pipe holds 1 MiB meanwhile."""


@dataclass(frozen=True)
class Loops:
    """The loops of one edge."""

    folder: Path
    """The edge's."""
    name: str
    """The edge's."""

    @property
    def _locks(self) -> tuple[Path, Path]:
        return self.folder / "loop.lock", self.folder / "log.lock"

    def start(self, command: Sequence[str]) -> None:
        """Start HAProxy, its loop, and that of its log."""
        reading, writing = os.pipe()
        with _closed(reading, writing):
            self._start_log(reading)
            self._start_haproxy(command, writing)

    def restore(self, command: Sequence[str], pid: int) -> tuple[str, ...]:
        """Restart the loops that were killed, and return the names of what they keep running.

        Args:
            command: HAProxy's command line.
            pid: The PID of the running master.
        """
        loop, log = self._locks
        # An edge of a version without a loop for the log has a writer too.
        logs = _is_held(log) or (self.folder, self.name) in processes.logging()
        missing = [
            *([] if _is_held(loop) else [_HAPROXY]),
            *([] if logs else [_LOG]),
        ]
        if missing:
            output = f"/proc/{pid}/fd/1"
            with suppress(OSError):  # it has just ended, or has no pipe
                # In this order: no pipe is opened for writing without a reader.
                reading = os.open(output, os.O_RDONLY | os.O_NONBLOCK)
                writing = os.open(output, os.O_WRONLY)
                with _closed(reading, writing):
                    os.set_blocking(reading, True)
                    if not stat.S_ISFIFO(os.fstat(reading).st_mode):
                        return ()
                    if _LOG in missing:
                        self._start_log(reading)
                    if _HAPROXY in missing:
                        self._start_haproxy(command, writing, pid)
                    return tuple(missing)
        return ()

    def ended(self) -> bool:
        """Return whether no loop runs, so that the log is complete."""
        return not any(_is_held(lock) for lock in self._locks)

    def _start_haproxy(self, command: Sequence[str], output: int, pid: int | None = None) -> None:
        """Restart HAProxy until it ends with code 0 or its file is gone; wait for a running one.

        A master whose worker was killed ends with that worker's code, a master that was asked to
        stop with 0 (HAProxy 2.6.12). HAProxy itself does not log to files, and drops lines that the
        pipe has no room for.
        """
        script = _HAPROXY_LOOP.substitute(
            lock=_quoted(self._locks[0]),
            master="" if pid is None else pid,
            pause=systemd.RESTART_SECONDS,
            config=_quoted(self.folder / "haproxy.cfg"),
            haproxy=shlex.join(systemd.confined(command)),
            log=_quoted(self.folder / "haproxy.log"),
        )
        _in_background(script, output=output)

    def _start_log(self, given: int) -> None:
        """Start the writer of the log until it has read all of it."""
        program = self.folder / "keeper.pyz"
        writer = (sys.executable, str(program), "log", str(self.folder), self.name)
        script = _LOG_LOOP.substitute(
            lock=_quoted(self._locks[1]),
            writer=shlex.join(writer),
            log=_quoted(self.folder / "haproxy.log"),
            program=_quoted(program),
            pause=_WRITER_PAUSE,
        )
        _in_background(script, given=given)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _in_background(
    script: str, given: int = subprocess.DEVNULL, output: int = subprocess.DEVNULL
) -> None:
    """Run a shell's script."""
    subprocess.run(
        ("setsid", "--fork", "/bin/sh", "-c", script),
        check=False,
        stdin=given,
        stdout=output,
        stderr=subprocess.DEVNULL,
    )


def _is_held(lock: Path) -> bool:
    """Whether a process holds a lock; False if the file is missing."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


@contextmanager
def _closed(*descriptors: int) -> Iterator[None]:
    try:
        yield
    finally:
        for each in descriptors:
            os.close(each)
