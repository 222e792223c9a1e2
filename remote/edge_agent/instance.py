"""One edge as a process: its folder, its control sockets, and its supervision.

After a reload, old workers finish the requests that they have begun. They pass further requests of
their clients to the current worker, through the socket ``next.sock``. So once a reload has
succeeded, no new request goes to a server that the new configuration lacks.
"""

import fcntl
import os
import re
import shutil
import signal
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from remote.edge_agent import bundle, chroot, systemd, versions
from remote.edge_agent.checks import NO_STATE, Check, kept_state
from remote.edge_agent.control import NoAnswerError, ask
from remote.edge_agent.supervision import Loops
from remote.edge_agent.system import EdgeError, haproxy, poll, run, text_of
from remote.edge_agent.versions import Version
from remote.files import write_whole

_START_SECONDS = 30.0


@dataclass(frozen=True)
class Worker:
    """The worker that takes new connections."""

    pid: int
    version: Version
    """The version that it has read."""


class Instance:
    """One edge: its folder, its process, and its control sockets."""

    def __init__(self, folder: str, name: str) -> None:
        self.folder = Path(folder)
        self.live = self.folder / "haproxy.cfg"
        self.files = self.folder / bundle.FOLDER
        self.program = self.folder / "keeper.pyz"
        self.pid_file = self.folder / "haproxy.pid"
        self.master_socket = self.folder / "master.sock"
        self.state = self.folder / "servers.state"
        self.log = self.folder / "haproxy.log"
        self.access_log = self.folder / "access.log"
        self.name = name
        self._loops = Loops(self.folder, name)
        self.unit = f"gatehouse-{name}.service"
        self.under_systemd = Path("/run/systemd/system").is_dir()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder against another run; files created meanwhile are for root only."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        before = os.umask(0o077)
        try:
            with self._held():
                self._sweep()
                yield
        finally:
            os.umask(before)

    @contextmanager
    def _held(self) -> Iterator[None]:
        path = self.folder / "lock"
        while True:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with path.open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                # The run that held it before may have removed the folder.
                if path.exists() and os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                    yield
                    return

    def _sweep(self) -> None:
        """Remove the unfinished files of a killed run."""
        for path in self.folder.rglob("*.part"):
            in_chroot = path.is_relative_to(self.folder / chroot.FOLDER)
            if (
                not in_chroot and not path.is_dir()
            ):  # a folder, perhaps a domain's, may have such a name
                path.unlink(missing_ok=True)

    def close_folder(self) -> None:
        """Let only root into the folder, once all workers run in a chroot.

        A worker of a version without a chroot reaches the next worker's socket through the folder.
        """
        workers = self.workers()
        if workers and chroot.holds(self.folder, workers):
            self.folder.chmod(0o700)

    def keep_program(self, archive: bytes) -> None:
        """Leave a copy of the edge agent for the timer and for systemd."""
        if not self.program.exists() or self.program.read_bytes() != archive:
            write_whole(self.program, archive)

    def ask_master(self, command: str) -> str | None:
        """Return the answer of the master process, or None if none runs.

        Raises:
            NoAnswerError: It runs and does not answer in time.
        """
        return ask(self.master_socket, command)

    def _heard(self, command: str) -> str:
        """Return the master's answer, or an empty text: the caller polls anyway."""
        with suppress(NoAnswerError):
            return self.ask_master(command) or ""
        return ""

    def worker(self) -> Worker | None:
        """Return the worker that takes new connections, or None if none runs.

        Raises:
            NoAnswerError: It runs and does not answer in time.
        """
        return self._worker_in(self.ask_master("@1 show info") or "")

    def _worker_in(self, told: str) -> Worker | None:
        found = re.search(r"^Pid: (\d+)$", told, re.MULTILINE)
        if found is None:
            return None
        return Worker(int(found[1]), Version(self.folder, versions.answered(told)))

    def live_version(self) -> Version:
        """Return the version of the live haproxy.cfg."""
        try:
            return Version(self.folder, versions.stamped(text_of(self.live)))
        except FileNotFoundError:
            return Version(self.folder, "")

    def settled(self) -> Worker | None:
        """Return the worker once HAProxy has started it, or None if HAProxy does not run.

        If its worker was just killed, HAProxy starts another one in a moment.

        Raises:
            NoAnswerError: It runs and does not answer in time.
            EdgeError: It has no worker.
        """
        found: list[Worker] = []

        def there() -> bool:
            worker = self.worker()
            found.extend([worker] if worker is not None else [])
            return worker is not None

        pause = 10 * systemd.RESTART_SECONDS if self.live.exists() else 0
        if poll(there, pause):
            return found[0]
        if self.ask_master("show proc") is None:
            return None
        if poll(there, _START_SECONDS):
            return found[0]
        raise EdgeError(
            f"HAProxy's master answers on {self.master_socket}, but has no worker after"
            f" {_START_SECONDS:.0f} s; look at its log:\n{self.last_words()}"
        )

    def reloads(self) -> tuple[int, int] | None:
        """Return how often the master was reloaded, and how many of the last ones failed."""
        processes = self._heard("show proc")
        found = re.search(r"\smaster\s+(\d+)(?:\s+\[failed: (\d+)\])?", processes)
        has_worker = re.search(r"\sworker\s", processes.partition("# old workers")[0])
        if found is None:
            return None
        failed = int(found[2] or 0)
        # The master answers before the new worker exists; until then the reload is not done.
        return (int(found[1]), failed) if failed or has_worker else None

    def all_old_leave(self) -> bool:
        """Return whether each worker from before the reload has begun to stop."""
        processes = self._heard("show proc").partition("# old workers")[2]
        told = (self._heard(f"@!{pid} show info") for pid in _workers(processes))
        return all("Stopping: 1" in each for each in told)

    def workers(self) -> list[int]:
        """Return the PIDs of all workers, including those that are stopping."""
        return _workers(self.ask_master("show proc") or "")

    def await_leaving(self) -> None:
        """Wait until no worker but the current one takes requests.

        Raises:
            EdgeError: A worker does not confirm that it is stopping.
        """
        if not poll(self.all_old_leave, _START_SECONDS):
            pids = ", ".join(map(str, set(self.workers()) - {self._serving_pid()}))
            raise EdgeError(
                f"the new configuration serves, but old workers (pid {pids}) do not confirm that"
                " they are stopping, and may send requests to servers that are gone; end them with"
                " `kill`, and run this again"
            )

    def _serving_pid(self) -> int | None:
        worker = self._worker_in(self._heard("@1 show info"))
        return None if worker is None else worker.pid

    def command(self, mode: str) -> list[str]:
        """Return HAProxy's command line; ``mode`` is -Ws under systemd, else -W."""
        return [
            haproxy(),
            *mode.split(),
            "-f",
            str(self.live),
            "-p",
            str(self.pid_file),
            "-S",
            f"{self.master_socket},mode,600",
        ]

    def start(self) -> None:
        """Start HAProxy with the live file.

        Raises:
            EdgeError: It does not start; with HAProxy's own message.
        """
        if self.under_systemd:
            systemd.write_units({self.unit: self.unit_text()})
            result = run("systemctl", "enable", "--now", self.unit)
            if result.returncode != 0:
                log = self.last_words()
                self._give_up()
                raise EdgeError(f"{self.unit} does not start:\n{result.stdout}{log}")
        else:
            self.log.write_bytes(b"")
            self._loops.start(self.command("-W"))
        if not poll(lambda: self._serving_pid() is not None, _START_SECONDS):
            log = self.last_words()
            self._give_up()
            raise EdgeError(f"HAProxy does not answer within {_START_SECONDS:.0f} s:\n{log}")
        chroot.link(self.folder)
        worker = self.worker()
        # HAProxy may just have been restarted with the previous file.
        if worker is not None and worker.version != self.live_version() and not self.reload():
            raise EdgeError(f"HAProxy refuses {self.live}:\n{self.last_words()}")

    def keep_running(self) -> None:
        """Complete the start, in case a run was killed after HAProxy's start."""
        chroot.link(self.folder)
        if self.under_systemd:
            systemd.write_units({self.unit: self.unit_text()})
            run("systemctl", "enable", self.unit)

    def _give_up(self) -> None:
        """Stop systemd or the loop from restarting a configuration that does not start."""
        if self.under_systemd:
            run("systemctl", "disable", "--now", self.unit)
        self.live.unlink()

    def restore_supervision(self) -> None:
        """Restart the loops that keep HAProxy and its log running, if they were killed."""
        pid = None if self.under_systemd else self._pid()
        for what in () if pid is None else self._loops.restore(self.command("-W"), pid):
            print(f"the loop that keeps {what} running had ended, and was started again")

    def last_words(self) -> str:
        """Return the end of HAProxy's own messages."""
        if self.under_systemd:
            many = ("-n", "2000", "--no-pager", "-o", "cat")
            text = run("journalctl", "-u", self.unit, *many).stdout
        else:
            text = self.log.read_text(errors="replace")
        return "\n".join(without_requests(text.splitlines())[-20:])

    def unit_text(self) -> str:
        """Return the text of its unit."""
        python = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
        started = (python, str(self.program), "link", str(self.folder), self.name)
        return systemd.unit_text(self.name, self.folder, self.command("-Ws"), started)

    def save_state(self, before: Collection[Check], after: Collection[Check]) -> None:
        """Save for the next worker which servers are down or drained in this one.

        Args:
            before: The checks of this worker's configuration.
            after: The checks of the next worker's.

        Raises:
            NoAnswerError: It runs and does not answer in time.
        """
        dump = self.ask_master("@1 show servers state") or ""
        bundle.write_file(self.state, kept_state(dump, before, after), durable=False)

    def forget_state(self) -> None:
        """Remove the saved state, which would be outdated at a later start."""
        bundle.write_file(self.state, NO_STATE, durable=False)

    def reload(self) -> bool:
        """Reload HAProxy with the live file, and return whether it loaded it.

        Raises:
            EdgeError: It loaded it, but older workers have not begun to leave.
        """
        if self.under_systemd:
            systemd.write_units({self.unit: self.unit_text()})
        elif self.log.exists():
            os.truncate(self.log, 0)
        chroot.link(self.folder)
        wanted = self.live_version()
        before, old = self.reloads() or (-1, 0), self._serving_pid()
        with suppress(NoAnswerError):
            self.ask_master("reload")  # which HAProxy 3.0 answers when it is done
        taken: list[bool] = []

        def done() -> bool:
            worker = self._worker_in(self._heard("@1 show info"))
            if worker is not None and worker.pid != old and worker.version == wanted:
                taken.append(True)
                return True
            # HAProxy counts from zero again if it was killed and restarted meanwhile.
            count, failed = self.reloads() or before
            return count > before[0] and failed > 0

        poll(done, _START_SECONDS)
        if not taken:
            return False
        self.await_leaving()
        return True

    def stop(self) -> None:
        """Drain and end HAProxy, and remove its files."""
        with suppress(OSError):  # the disk is full, or the folder is gone
            self.program.touch()
        if self.under_systemd:
            # Another folder's edge may have this name, and then the unit.
            if systemd.folder_of(self.unit) in {None, self.folder}:
                systemd.remove_units(self.unit)
        else:
            # Without it, the loop starts no other HAProxy; it ends when the log is written.
            self.live.unlink(missing_ok=True)
            for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGKILL):
                self._signal(number)
                if poll(self._has_ended, systemd.STOP_SECONDS):
                    break
        # The edge agent's copy goes last: until then it marks the folder as an edge's.
        for path in self.folder.glob("*"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path != self.program:
                path.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _has_ended(self) -> bool:
        return self._pid() is None and self._loops.ended()

    def _signal(self, number: signal.Signals) -> None:
        pid = self._pid()
        if pid is not None:
            os.kill(pid, number)

    def _pid(self) -> int | None:
        try:
            pid = int(self.pid_file.read_text().split()[0])
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError, IndexError):
            return None
        return pid if str(self.live).encode() in command.split(b"\0") else None


def _workers(processes: str) -> list[int]:
    pids = re.findall(r"^(\d+)\s+worker\s", processes, re.MULTILINE)
    # HAProxy 3.0 may still list a process that ended while the master restarted itself.
    return [int(pid) for pid in pids if Path(f"/proc/{pid}").exists()]


def without_requests(lines: list[str]) -> list[str]:
    """Return the lines of a log that are not about requests, which are JSON."""
    return [line for line in lines if not line.startswith("{")]
