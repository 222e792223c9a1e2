"""A container made of Linux namespaces (network, mounts, processes), and nothing else.

Its first process is tini, which only reaps. Everything else enters its namespaces; when tini is
killed, the kernel ends every other process in there, and the mounts and network devices go with the
last of them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

KINDS = ("net", "mnt", "pid")
END_TIMEOUT = (
    30.0  # s; the kernel needs well under one for a dozen processes, a VM's memory included
)
SPAWN_TIMEOUT = 10.0  # s
POLL = 0.05  # s
MARK = "gatehouse-lab="


class NamespaceError(Exception):
    """The namespaces cannot be made, entered or ended; the text says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Identifies a container's namespaces, uniquely until the machine reboots."""

    boot: str
    net: str
    mnt: str
    pid: str


class Namespaces:
    """The container that belongs to the folder `root`: there is at most one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._record = root / "namespaces.json"

    def init(self) -> int | None:
        """The process id of the container's first process, or None if it does not run."""
        return next(inits(f"{MARK}{self.root}"), None)

    def create(self) -> int:
        """Make the namespaces, and return their first process's id. The folder must exist."""
        mark = f"{MARK}{self.root}"
        log = self.root / "init.log"
        with log.open("wb") as out:
            maker = subprocess.Popen(
                [
                    *("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc"),
                    *("tini", "-s", "--", "sh", "-c", "exec sleep infinity", mark),
                ],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd="/",
                start_new_session=True,
            )
        deadline = time.monotonic() + SPAWN_TIMEOUT
        while (pid := self.init()) is None:
            if maker.poll() is not None or time.monotonic() > deadline:
                maker.kill()
                maker.wait()
                raise NamespaceError(
                    "cannot make namespaces with unshare: "
                    f"{log.read_text().strip() or 'no message'}: the lab needs root with "
                    "CAP_SYS_ADMIN, and a kernel with network, mount and PID namespaces"
                )
            time.sleep(POLL)
        self._record.write_text(json.dumps(asdict(identity(pid))))
        return pid

    def command(
        self, argv: Sequence[str], cwd: Path | None = None, outer_fd: int | None = None
    ) -> list[str]:
        """`argv` as a command that runs inside, in the same folder, and ends with its caller.

        `outer_fd` is a descriptor that only the part outside keeps, for as long as the inner one
        runs: the lab's lock. It must be passed to the command, and no daemon started inside can
        inherit it.
        """
        # Entering a mount namespace changes to its root folder, hence cd.
        script = 'cd -- "$1"; shift; exec "$@"'
        if outer_fd is not None:
            script = f"exec {outer_fd}>&-; {script}"
        return [
            *("setpriv", "--pdeathsig", "KILL"),
            *self._nsenter(),
            *("setpriv", "--pdeathsig", "KILL", "bash", "-c", f"set -e; {script}", "enter"),
            *(str(cwd or Path.cwd()), *argv),
        ]

    def daemon(self, argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        """Run `argv` inside for as long as the container runs; its output goes to `log`."""
        # The subshell ends at once, so that the daemon belongs to tini and no nsenter waits for it
        # outside.
        script = 'log=$1; shift; setsid "$@" >>"$log" 2>&1 </dev/null &'
        subprocess.run(
            [
                *self._nsenter(),
                *("sh", "-c", script, "sh", str(log), *argv),
            ],
            env=env,
            cwd="/",
            check=True,
            timeout=SPAWN_TIMEOUT,
        )

    def _nsenter(self) -> list[str]:
        pid = self.init()
        if pid is None:
            raise NamespaceError(f"{self.root}: this lab does not run: start it first")
        return ["nsenter", f"--target={pid}", "--net", "--mount", "--pid", "--"]

    def destroy(self) -> None:
        """End every process of the container, and make sure that its namespaces are gone.

        Does nothing if it does not run, or if the machine has rebooted since. Raises
        `NamespaceError`, with the remaining processes, if some remain after `END_TIMEOUT`.
        """
        pid = self.init()
        known = identity(pid) if pid is not None else self._recorded()
        if pid is not None:
            end([pid])
        if known is None or known.boot != boot_id():
            return
        # A process that entered from outside (a shell, a helper of ours) keeps the network and the
        # mounts alive.
        deadline = time.monotonic() + END_TIMEOUT
        while inside := members(known):
            if time.monotonic() > deadline:
                raise NamespaceError(
                    f"{self.root}: processes {inside} of the lab do not end: "
                    "kill them and run again"
                )
            end(inside)
            time.sleep(POLL)

    def _recorded(self) -> Identity | None:
        try:
            return Identity(**json.loads(self._record.read_text()))
        except (
            FileNotFoundError,
            ValueError,
            TypeError,
        ):  # never started, or killed while it wrote this
            return None


def boot_id() -> str:
    """A name for the time since the machine's last start."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def identity(pid: int) -> Identity:
    """The namespaces of the process `pid`."""
    links = {kind: (Path("/proc") / str(pid) / "ns" / kind).readlink().name for kind in KINDS}
    return Identity(boot=boot_id(), **links)


def inits(mark: str) -> Iterator[int]:
    """The processes that are first in a PID namespace and carry `mark` as an argument."""
    for folder in processes():
        try:
            arguments = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            status = (folder / "status").read_text()
        except OSError:  # it has ended meanwhile
            continue
        # unshare has the same arguments before it becomes tini, when /proc is not yet the
        # container's own.
        if arguments[0] == "tini" and mark in arguments and is_first(status):
            yield int(folder.name)


def is_first(status: str) -> bool:
    """Whether /proc/<pid>/status shows a live process that is number 1 of an inner namespace."""
    lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    numbers = lines.get("NSpid", "").split()
    return len(numbers) > 1 and numbers[-1] == "1" and lines.get("State", "").split()[:1] != ["Z"]


def members(known: Identity) -> list[int]:
    """The processes that are in one of the namespaces of `known`."""
    wanted = {known.net, known.mnt, known.pid}
    found = []
    for folder in processes():
        try:
            links = {(folder / "ns" / kind).readlink().name for kind in KINDS}
        except OSError:  # it has ended meanwhile, or is a zombie
            continue
        if links & wanted:
            found.append(int(folder.name))
    return found


def processes() -> list[Path]:
    """The folders of /proc that are processes."""
    return [path for path in Path("/proc").iterdir() if path.name.isdigit()]


def end(pids: Sequence[int]) -> None:
    """Kill `pids`; it is not an error if some have ended already."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def wait_until(ready: Callable[[], bool], timeout: float) -> bool:
    """Call `ready` until it returns true; False if it does not within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True
