"""Run on the edge's host: puts a haproxy.cfg into force, or takes the edge away.

    python3 - apply FOLDER NAME READY_SECONDS < haproxy.cfg
    python3 - remove FOLDER NAME

The edge is an HAProxy of its own, in FOLDER, kept running by systemd as ``gatehouse-NAME.service``
where systemd runs and by a loop in a shell elsewhere; the distribution's instance is not touched.
The new text is checked beside the live file, each new server is asked what HAProxy will ask it,
and only then is the file swapped and HAProxy reloaded, and the result of the reload read. Whatever
fails, the old configuration goes on serving, and the reason is on stderr.

A reload leaves the workers before it to finish what they have begun; what else their clients send
goes through the socket ``next.sock`` to the current one, as the configuration says. So when this
script ends well, no new request goes to a server that is no longer in the text.

Sent to the host as text, so it imports nothing but the standard library.
"""

import fcntl
import http.client
import os
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_START_SECONDS = 30.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.05
_RESTART_SECONDS = 0.2  # the pause before an HAProxy that ended is started again
_NO_STATE = "1\n"  # the version of the format; no servers
_UNITS = Path("/etc/systemd/system")


class EdgeError(Exception):
    """The edge could not be changed; the old one goes on serving."""


@dataclass(frozen=True)
class Check:
    """What HAProxy asks a server before it sends requests there."""

    pool: str
    server: str
    address: str
    host: str
    path: str


def checks(text: str) -> set[Check]:
    """Return the HTTP check of every server in a haproxy.cfg that Gatehouse rendered."""
    found: set[Check] = set()
    pool = host = path = ""
    for line in text.splitlines():
        words = line.split()
        if line.startswith("backend "):
            pool, host, path = words[1], "", ""
        elif words[:2] == ["http-check", "send"]:
            path = words[words.index("uri") + 1]
            host = words[words.index("Host") + 1]
        elif words[:1] == ["server"] and path:
            found.add(Check(pool=pool, server=words[1], address=words[2], host=host, path=path))
    return found


def kept_state(state: str, before: str, after: str) -> str:
    """Return the part of a dump by ``show servers state`` that is still true after a change.

    HAProxy would give a new server the health, and even the port, of an old one of its name.

    Args:
        state: The dump, in version 1 of its format.
        before: The haproxy.cfg that it was made under.
        after: The haproxy.cfg that will read it.
    """
    same = {(check.pool, check.server) for check in checks(before) & checks(after)}
    lines = (line.split(" ") for line in state.splitlines() if not line.startswith("#"))
    return _NO_STATE + "".join(
        f"{' '.join(words)}\n" for words in lines if len(words) > 4 and (words[1], words[3]) in same
    )


def check_problem(check: Check) -> str | None:
    """Return why a server does not pass its check, or None if it does."""
    connection = http.client.HTTPConnection(check.address, timeout=10)
    try:
        connection.request("GET", check.path, headers={"Host": check.host})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
    return None if 200 <= status < 400 else f"it answers with status {status}"


def poll(condition: Callable[[], bool], seconds: float, pause: float = _POLL_SECONDS) -> bool:
    """Return whether the condition came true within the time, asked with pauses between."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


def await_servers(new: set[Check], seconds: float) -> None:
    """Wait until each server passes its check.

    Raises:
        EdgeError: One does not within the time; all that do not are named.
    """
    missing = dict.fromkeys(new, "")

    def all_pass() -> bool:
        for check in list(missing):
            why = check_problem(check)
            if why is None:
                del missing[check]
            else:
                missing[check] = why
        return not missing

    if not poll(all_pass, seconds, pause=0.2):
        lines = [
            f"  services.{check.pool} on {check.server}: http://{check.address}{check.path} with"
            f" Host {check.host}: {why}"
            for check, why in sorted(missing.items(), key=lambda item: str(item[0]))
        ]
        raise EdgeError(
            f"servers that do not pass their health check after {seconds:.0f} s:\n"
            + "\n".join(lines)
            + "\n  Look at the containers' logs on the VM, or at the service's health.path."
        )


class Instance:
    """One edge: its folder, its process, and its control sockets."""

    def __init__(self, folder: str, name: str) -> None:
        self.folder = Path(folder)
        self.live = self.folder / "haproxy.cfg"
        self.pid_file = self.folder / "haproxy.pid"
        self.master_socket = self.folder / "master.sock"
        self.state = self.folder / "servers.state"
        self.log = self.folder / "haproxy.log"
        self.name = name
        self.unit = f"gatehouse-{name}.service"
        self.under_systemd = Path("/run/systemd/system").is_dir()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder against another run of this script."""
        self.folder.mkdir(mode=0o710, parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def open_to_workers(self) -> None:
        """Let the workers, which are not root, reach the socket to the next one of them.

        Raises:
            EdgeError: A folder on the way to it is closed, or this is not root.
        """
        try:
            shutil.chown(self.folder, group="haproxy")
        except (LookupError, PermissionError) as error:
            raise EdgeError(f"cannot give {self.folder} to the group haproxy: {error}") from error
        self.folder.chmod(0o710)
        for parent in self.folder.parents:
            if not parent.stat().st_mode & stat.S_IXOTH:
                raise EdgeError(
                    f"edge.folder {self.folder}: the user haproxy cannot pass through {parent};"
                    f" run `chmod o+x {parent}`, or choose another folder"
                )

    def ask_master(self, command: str) -> str | None:
        """Return the answer of the master process, or None if there is none."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(10)
                connection.connect(str(self.master_socket))
                connection.sendall(f"{command}\n".encode())
                connection.shutdown(socket.SHUT_WR)
                answer = b""
                while data := connection.recv(65536):
                    answer += data
                return answer.decode(errors="replace")
        except OSError:
            return None

    def reloads(self) -> tuple[int, int] | None:
        """Return how often the master was reloaded, and how many of the last ones failed."""
        processes = self.ask_master("show proc") or ""
        found = re.search(r"\smaster\s+(\d+)(?:\s+\[failed: (\d+)\])?", processes)
        has_worker = re.search(r"\sworker\s", processes.partition("# old workers")[0])
        if found is None:
            return None
        failed = int(found[2] or 0)
        # The master answers before the new worker is there; without one it is not done yet.
        return (int(found[1]), failed) if failed or has_worker else None

    def all_old_leave(self) -> bool:
        """Return whether each worker from before the reload knows that it is to leave."""
        processes = (self.ask_master("show proc") or "").partition("# old workers")[2]
        pids = re.findall(r"^(\d+)\s+worker\s", processes, re.MULTILINE)
        return all("Stopping: 1" in (self.ask_master(f"@!{pid} show info") or "") for pid in pids)

    def running(self) -> bool:
        """Return whether the master answers."""
        return self.ask_master("show proc") is not None

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
            self._write_unit()
            result = run("systemctl", "enable", "--now", self.unit)
            if result.returncode != 0:
                raise EdgeError(f"{self.unit} does not start:\n{result.stdout}{self.last_words()}")
        else:
            self._supervise()
        if not poll(lambda: self.reloads() is not None, _START_SECONDS):
            log = self.last_words()
            self.live.unlink()
            raise EdgeError(f"HAProxy does not answer within {_START_SECONDS:.0f} s:\n{log}")

    def _supervise(self) -> None:
        """Start HAProxy in a loop that starts it again until it ends well or its file is gone.

        A master whose worker was killed ends with that worker's code, one that was told to stop
        with 0 (HAProxy 2.6.12).
        """
        self.log.write_bytes(b"")
        live, log = shlex.quote(str(self.live)), shlex.quote(str(self.log))
        loop = (
            f"while [ -e {live} ] && ! {shlex.join(self.command('-W'))} 2>>{log};"
            f" do sleep {_RESTART_SECONDS}; done"
        )
        # Never two loops, which would both listen; nor may a worker hold the lock for its loop.
        lock = ("flock", "--nonblock", "--close", str(self.folder / "loop.lock"))
        run("setsid", "--fork", *lock, "/bin/sh", "-c", loop, output=subprocess.DEVNULL)

    def last_words(self) -> str:
        """Return the end of what HAProxy said."""
        if self.under_systemd:
            return run("journalctl", "-u", self.unit, "-n", "20", "--no-pager", "-o", "cat").stdout
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])

    def _write_unit(self) -> None:
        unit = _UNITS / self.unit
        text = unit_text(self.name, self.command("-Ws"))
        if not unit.exists() or unit.read_text() != text:
            unit.write_text(text)
            run("systemctl", "daemon-reload")

    def save_state(self, before: str, after: str) -> None:
        """Keep for the next worker which servers are down or drained in this one."""
        dump = self.ask_master("@1 show servers state") or ""
        self.state.write_text(kept_state(dump, before, after))

    def forget_state(self) -> None:
        """Leave no state to a start in the future, when it will not be true any more."""
        self.state.write_text(_NO_STATE)

    def reload(self) -> bool:
        """Reload HAProxy with the live file, and return whether that succeeded.

        If so, every older worker has begun to leave.
        """
        if self.under_systemd:
            self._write_unit()
        elif self.log.exists():
            os.truncate(self.log, 0)
        before = self.reloads()
        count = before[0] if before else -1
        self.ask_master("reload")

        def done() -> bool:
            now = self.reloads()
            return now is not None and now[0] > count

        if not poll(done, _START_SECONDS):
            return False
        after = self.reloads()
        return after is not None and after[1] == 0 and poll(self.all_old_leave, _START_SECONDS)

    def stop(self) -> None:
        """End HAProxy, requests in flight first, and remove what it left."""
        if self.under_systemd:
            run("systemctl", "disable", "--now", self.unit)
            (_UNITS / self.unit).unlink(missing_ok=True)
            run("systemctl", "daemon-reload")
        else:
            for number in (signal.SIGUSR1, signal.SIGTERM):
                if self._signal(number) and poll(lambda: self._pid() is None, _STOP_SECONDS):
                    break
        shutil.rmtree(self.folder, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> bool:
        pid = self._pid()
        if pid is not None:
            os.kill(pid, number)
        return pid is not None

    def _pid(self) -> int | None:
        try:
            pid = int(self.pid_file.read_text().split()[0])
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError, IndexError):
            return None
        return pid if str(self.live).encode() in command.split(b"\0") else None


def unit_text(name: str, command: list[str]) -> str:
    """Return the systemd unit that keeps an edge running, whatever ends it and however often."""
    return f"""[Unit]
Description=Gatehouse edge {name}
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={" ".join(command)}
KillMode=mixed
KillSignal=SIGUSR1
TimeoutStopSec={_STOP_SECONDS:.0f}
Restart=always
RestartSec={_RESTART_SECONDS * 1000:.0f}ms
SuccessExitStatus=143

[Install]
WantedBy=multi-user.target
"""


def run(*command: str, output: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """Run a command with both outputs in ``stdout``."""
    return subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
    )


def haproxy() -> str:
    """Return where HAProxy is.

    Raises:
        EdgeError: It is not installed.
    """
    found = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise EdgeError(
            f"HAProxy is not installed on {socket.gethostname()}; run `apt-get install haproxy`"
        )
    return found


def ports_in_use(text: str, previous: str) -> list[str]:
    """Return the addresses that a new configuration listens on and that somebody else holds."""
    taken = []
    for line in set(text.splitlines()) - set(previous.splitlines()):
        listening = re.match(r"\s+bind (\S+):(\d+)", line)
        if listening is None:
            continue
        host, port = listening.groups()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, int(port)))
            except OSError as error:
                taken.append(f"edge.bind {host}, edge.port {port}: {error.strerror}")
    return taken


def apply(instance: Instance, text: str, ready_seconds: float) -> None:
    """Put the configuration ``text`` into force.

    Raises:
        EdgeError: It cannot be; what was in force before still is.
    """
    program = haproxy()
    instance.open_to_workers()
    if not instance.state.exists():
        instance.forget_state()
    candidate = instance.live.with_suffix(".cfg.new")
    candidate.write_text(text)
    result = run(program, "-c", "-f", str(candidate))
    if result.returncode != 0:
        candidate.unlink()
        raise EdgeError(f"HAProxy refuses the new configuration:\n{result.stdout}")
    # One whose worker was just killed is about to be back.
    running = poll(instance.running, 10 * _RESTART_SECONDS if instance.live.exists() else 0)
    previous = instance.live.read_text() if running and instance.live.exists() else ""
    taken = ports_in_use(text, previous)
    if taken:
        candidate.unlink()
        raise EdgeError("\n".join(taken) + "; free the port, or choose another one in the config")
    await_servers(checks(text) - checks(previous), ready_seconds)
    if running and previous == text:
        candidate.unlink()
        return
    if running:
        instance.save_state(previous, text)
    candidate.replace(instance.live)
    try:
        if not running:
            instance.start()
        elif not instance.reload():
            log = instance.last_words()
            candidate.write_text(previous)
            candidate.replace(instance.live)
            instance.reload()
            raise EdgeError(
                "HAProxy could not take up the new configuration when it was reloaded, and goes on"
                f" with the old one:\n{log}"
            )
    finally:
        instance.forget_state()


def main(arguments: list[str]) -> int:
    """Run ``apply`` or ``remove``; code 1 and the reason on stderr if that fails."""
    action, folder, name, *rest = arguments
    instance = Instance(folder, name)
    try:
        with instance.locked():
            if action == "apply":
                apply(instance, sys.stdin.read(), float(rest[0]))
            else:
                instance.stop()
    except EdgeError as error:
        print(f"edge {name}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
