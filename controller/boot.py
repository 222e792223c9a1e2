"""The gate of a VM, run on the controller: ``python3 -m controller.boot wait|shutdown``.

``wait`` ends when the VM is ready for its role: on a container host, when Docker answers over SSH.
It prints the VM's address and a mark. It starts a VM that is off.
``shutdown`` waits for the requests in flight, asks the guest to power off, and ends when it is off
or the time is over. A missing domain is not an error. By then, the edge sends the VM no requests. A
VM with another mark stays on: Pulumi replaces a command by creating the new one, which waits for
the VM, and then undoing the old one.

A separate program with only the standard library, because only a running command can watch the
console while the VM boots: the domain resource could only report that it got no address.
"""

import argparse
import collections
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from controller import firstboot
from controller.commands import run
from controller.ssh import SSH_USER, options
from controller.virsh import virsh
from remote import mark

_POLL_SECONDS = 1.0
_SSH_SECONDS = 60.0
_SETTLE_SECONDS = 60.0
"""How long the VM may take to become ready after cloud-init has ended with errors. Docker may still
be starting, and the error may not concern it."""
_CONSOLE_LINES, _CONSOLE_KEPT = 25, 5000
_MARK = "gatehouse-gate"
"""A file on the VM with the mark of the last ``wait``."""
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|[\x00-\x08\x0b-\x1f\x7f]")
_LEASE = re.compile(r"\sipv4\s+(\d+\.\d+\.\d+\.\d+)/")


class BootError(Exception):
    """The VM will not come up; the message says how far it got and what to do."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings in the ``GATEHOUSE_*`` variables; times are in seconds."""

    uri: str
    domain: str
    vm: str
    key_file: str
    known_hosts: str
    address: str
    """Its static address, or empty if libvirt's DHCP server assigns one."""
    ready: str
    """A shell command on the VM that exits with 0 once the VM is ready."""
    waits_for: str
    """The condition that the command tests, in words for errors."""
    drain: str
    """A shell command there that ends the requests in flight, with ``{seconds}``; or empty."""
    boot_timeout: float
    drain_timeout: float
    shutdown_timeout: float

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read the variables that ``components.vm.vm`` sets."""
        return cls(
            uri=os.environ["GATEHOUSE_URI"],
            domain=os.environ["GATEHOUSE_DOMAIN"],
            vm=os.environ["GATEHOUSE_VM"],
            key_file=os.environ["GATEHOUSE_KEY_FILE"],
            known_hosts=os.environ["GATEHOUSE_KNOWN_HOSTS"],
            address=os.environ["GATEHOUSE_ADDRESS"],
            ready=os.environ["GATEHOUSE_READY"],
            waits_for=os.environ["GATEHOUSE_WAITS_FOR"],
            drain=os.environ["GATEHOUSE_DRAIN"],
            boot_timeout=float(os.environ["GATEHOUSE_BOOT_TIMEOUT"]),
            drain_timeout=float(os.environ["GATEHOUSE_DRAIN_TIMEOUT"]),
            shutdown_timeout=float(os.environ["GATEHOUSE_SHUTDOWN_TIMEOUT"]),
        )


class Console:
    """The lines that the VM has written to its serial console since this was attached.

    Very old lines are dropped.
    """

    def __init__(self) -> None:
        self._lines: collections.deque[str] = collections.deque([""], maxlen=_CONSOLE_KEPT)

    def feed(self, data: bytes) -> None:
        """Add raw terminal output, without control sequences."""
        text = _CONTROL.sub("", data.decode(errors="replace").replace("\r\n", "\n"))
        first, *rest = text.split("\n")
        self._lines[-1] += first
        self._lines.extend(rest)

    def text(self) -> str:
        """Return all lines that are kept."""
        return "\n".join(self._lines)

    def tail(self) -> str:
        """Return the last lines, or a note that there were none."""
        lines = [f"    {line}" for line in self._lines if line.strip()][-_CONSOLE_LINES:]
        return "\n".join(lines) or "    (nothing; does the image's kernel write to ttyS0?)"


@contextmanager
def attached_console(settings: Settings) -> Iterator[Console]:
    """Follow the VM's console until the block ends.

    virsh insists on a terminal, so it gets a pseudo-terminal.
    """
    console = Console()
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ("virsh", "--connect", settings.uri, "--quiet", "console", settings.domain, "--force"),
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    os.close(theirs)

    def follow() -> None:
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:  # virsh has gone, and the terminal with it
                return
            console.feed(data)

    reader = threading.Thread(target=follow, daemon=True)
    reader.start()
    try:
        yield console
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # virsh holds SIGTERM back while it is attached
        process.wait()
        reader.join(timeout=5)
        os.close(ours)


def address_of(settings: Settings) -> str | None:
    """Return the address that the VM keeps, or the IPv4 one that DHCP gave it by now.

    Raises:
        BootError: The domain is not running.
    """
    state = virsh(settings.uri, "domstate", settings.domain)
    if state.returncode != 0 or state.stdout.strip() in ("shut off", "crashed"):
        raise BootError(f"the domain is {state.stdout.strip() or state.stderr.strip()}")
    if settings.address:
        return settings.address
    leases = virsh(settings.uri, "domifaddr", settings.domain, "--source", "lease")
    found = _LEASE.search(leases.stdout)
    return found[1] if found else None


def _ask(settings: Settings, address: str, command: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command on the VM.

    Raises:
        subprocess.TimeoutExpired: The VM does not answer in time.
    """
    connection = options(
        key_file=settings.key_file, known_hosts=settings.known_hosts, host=settings.vm
    )
    return run("ssh", *connection, f"{SSH_USER}@{address}", command, seconds=_SSH_SECONDS)


@dataclass(frozen=True)
class Problem:
    """Why a VM is not ready yet."""

    why: str
    over: bool = False
    """Whether its first boot has ended, with errors."""


def problem(settings: Settings, address: str) -> Problem | None:
    """Return why the VM is not ready yet, asked over SSH, or None if it is.

    Raises:
        BootError: The machine that answers at the address is not the VM.
    """
    command = f"({settings.ready}) && exit 0; cat {firstboot.RESULT} 2>/dev/null; exit 1"
    try:
        answer = _ask(settings, address, command)
    except subprocess.TimeoutExpired:
        return Problem(f"no answer within {_SSH_SECONDS:.0f} s")
    if "Host key verification failed" in answer.stderr:
        raise BootError(
            f"{address} answers with a host key that is not {settings.vm}'s: another machine has"
            " this address, or farm.image has no cloud-init, which would have set the key"
        )
    if answer.returncode == 0:
        return None
    lines = answer.stderr.strip().splitlines()
    return Problem(lines[-1] if lines else "no answer", bool(firstboot.errors(answer.stdout)))


def wait(settings: Settings) -> str:
    """Return the VM's address once it is ready.

    Raises:
        BootError: It did not within the time limit, or its first boot failed; the message has the
            line that says why, if one does, and ends with the console's tail.
    """
    _start_if_off(settings)
    waiting = _Waiting(settings)
    with attached_console(settings) as console:
        try:
            return waiting.until_ready()
        except BootError as error:
            log = waiting.log()
            cause = firstboot.cause(f"{log}\n{console.text()}")
            why = f"\n  {cause.line}\n  {cause.advice}" if cause is not None else ""
            raise BootError(
                f"VM {settings.vm} (domain {settings.domain}) did not come up: {error}{why}\n"
                f"  The end of its console:\n{console.tail()}"
            ) from None


class _Waiting:
    """The wait for one VM."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._address: str | None = None

    def until_ready(self) -> str:
        """Return the address once the VM is ready; raise ``BootError`` if it will not be."""
        settings = self._settings
        deadline = time.monotonic() + settings.boot_timeout
        waiting_for, over_since = "an address from the network's DHCP server", None
        while (now := time.monotonic()) < deadline:
            self._address = self._address or self._found_address()
            if self._address is not None:
                found = problem(settings, self._address)
                if found is None:
                    return self._address
                waiting_for = f"{settings.waits_for} over SSH at {self._address} ({found.why})"
                over_since = (over_since or now) if found.over else None
                if over_since is not None and now - over_since > _SETTLE_SECONDS:
                    raise BootError(f"its first boot ended with errors, without {waiting_for}")
            time.sleep(_POLL_SECONDS)
        raise BootError(
            f"still waiting for {waiting_for} after {settings.boot_timeout:.0f} s; give a slow"
            " hypervisor more time with farm.boot_timeout"
        )

    def log(self) -> str:
        """Return cloud-init's log, or an empty text if SSH fails."""
        if self._address is None:
            return ""
        try:
            return _ask(self._settings, self._address, firstboot.LOG).stdout
        except subprocess.TimeoutExpired:
            return ""

    def _found_address(self) -> str | None:
        address = address_of(self._settings)
        if address is not None:
            print(f"{self._settings.vm}: has the address {address}", file=sys.stderr)
        return address


def _start_if_off(settings: Settings) -> None:
    """Start a VM that was powered off, as when only its gate was deleted; not a paused one."""
    if virsh(settings.uri, "domstate", settings.domain).stdout.strip() == "shut off":
        virsh(settings.uri, "start", settings.domain)


def marked(settings: Settings, address: str, printed: str = "") -> str:
    """Write the mark to the VM, and return it. A VM without a mark can be shut down too.

    Args:
        settings: Which VM.
        address: Its address.
        printed: The previous output of the same ``wait``; empty for a new one. Its mark stays,
            because Pulumi may never get the output of an update.
    """
    its = mark.made(printed)
    # Without an answer, the mark may have been written all the same.
    with suppress(subprocess.TimeoutExpired):
        _ask(settings, address, f"echo {its} > {_MARK}")
    return its


def waited_for_again(settings: Settings, address: str, printed: str) -> bool:
    """Whether the VM's mark differs from the one that a ``wait`` has printed."""
    try:
        told = _ask(settings, address, f"cat {_MARK}")
    except subprocess.TimeoutExpired:
        return False
    return told.returncode == 0 and mark.is_another(told.stdout.strip(), printed)


def drain(settings: Settings, address: str) -> None:
    """Let the VM finish the requests in flight, if there is a command for that.

    It is run again if it fails, for at most `drain_timeout`: Docker or the agent may be busy or
    just starting. Then the VM is powered off all the same.
    """
    if not settings.drain:
        return
    deadline = time.monotonic() + settings.drain_timeout
    said, done = _drained(settings, address)
    while not done and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        said, done = _drained(settings, address)
    print(f"{settings.vm}: {said}", file=sys.stderr)


def _drained(settings: Settings, address: str) -> tuple[str, bool]:
    """Return the output of the VM's drain command, and whether it succeeded."""
    connection = options(
        key_file=settings.key_file, known_hosts=settings.known_hosts, host=settings.vm
    )
    command = settings.drain.format(seconds=settings.drain_timeout)
    try:
        done = subprocess.run(
            ("ssh", *connection, f"{SSH_USER}@{address}", command),
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=2 * settings.drain_timeout + _SSH_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return "drain: no answer", False
    return done.stdout.strip(), done.returncode == 0


def shutdown(settings: Settings, printed: str) -> None:
    """Drain the guest and power it off by ACPI; deleting the domain does the rest.

    Args:
        settings: Which VM, and the time limits.
        printed: The output of the `wait` to undo: the address, and perhaps the mark. Empty if it
            printed nothing.
    """
    address = printed.partition(" ")[0]
    state = virsh(settings.uri, "domstate", settings.domain)
    if address and state.stdout.strip() == "running":
        if waited_for_again(settings, address, printed):
            print(f"{settings.vm}: has been applied again since, so it stays on", file=sys.stderr)
            return
        drain(settings, address)
    deadline = time.monotonic() + settings.shutdown_timeout
    if virsh(settings.uri, "shutdown", settings.domain).returncode != 0:
        return  # gone, or off already
    while time.monotonic() < deadline:
        state = virsh(settings.uri, "domstate", settings.domain)
        if state.returncode != 0 or state.stdout.strip() == "shut off":
            return
        time.sleep(_POLL_SECONDS)
    print(f"{settings.vm}: did not power off in {settings.shutdown_timeout:.0f} s", file=sys.stderr)


def main(arguments: list[str]) -> int:
    """Run one of the two commands; the exit code is 1 with a message on stderr if it failed."""
    parser = argparse.ArgumentParser("python3 -m controller.boot", allow_abbrev=False)
    parser.add_argument("action", choices=("wait", "shutdown"))
    asked = parser.parse_args(arguments)
    settings = Settings.from_environment()
    # The previous output of ``wait``, which the command's provider keeps.
    printed = os.environ.get("PULUMI_COMMAND_STDOUT", "").strip()
    try:
        if asked.action == "wait":
            address = wait(settings)
            print(address, marked(settings, address, printed))
        else:
            shutdown(settings, printed)
    except BootError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
