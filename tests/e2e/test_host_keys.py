"""Each way onto a VM with the real ssh and sshd, on loopback: the right machine, and another one.

The right one is entered at the first connection, and nobody is asked. On one with another key
nothing is run, and what was pinned stays as it was.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controller import boot
from controller.boot import BootError, Settings
from controller.reach import Gone, check
from controller.ssh import known_hosts_line, options_in, verified
from lab.commands import PROJECT
from lab.providers.docker_host import DockerHost
from lab.providers.provider_errors import ProviderUnreachable
from tests.support import sshd
from tests.support.edge_driver import SSH_PORT

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="sshd is started by root: run as root")
VM, ADDRESS = "web-0", "127.0.0.1"
REFUSED = "Host key verification failed"


@pytest.fixture(scope="module")
def server() -> Iterator[sshd.SshServer]:
    with sshd.running(SSH_PORT) as running:
        yield running


@dataclass
class Vm:
    """What is known of a VM, which the server is or is not."""

    server: sshd.SshServer
    project: Path
    """With a stack's key files, as the program leaves them."""

    def pin(self, key: str) -> None:
        (self.keys / f"{VM}.known_hosts").write_text(known_hosts_line(VM, key))

    @property
    def keys(self) -> Path:
        return self.project / ".gatehouse" / "prod"

    @property
    def pinned(self) -> str:
        return (self.keys / f"{VM}.known_hosts").read_text()

    def hang_up(self) -> None:
        """End the connections that others would share."""
        for shared in filter(Path.is_socket, self.keys.iterdir()):
            end = ("ssh", "-o", f"ControlPath={shared}", "-O", "exit", ADDRESS)
            subprocess.run(end, check=True, capture_output=True)

    @property
    def mark(self) -> Path:
        """What is made by what is run on the server."""
        return self.project / "mark"

    @property
    def leave_mark(self) -> str:
        return f"touch {self.mark} && echo there"

    @property
    def ssh(self) -> tuple[str, ...]:
        """The words that Docker's provider and the graph's commands are given."""
        return ("ssh", *options_in(self.keys, VM))


@pytest.fixture
def vm(server: sshd.SshServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vm]:
    # Not pytest's own folder, whose path is too long for a socket's.
    with tempfile.TemporaryDirectory() as folder:
        made = Vm(server, Path(folder))
        made.keys.mkdir(parents=True)
        shutil.copy(server.key_file, made.keys / "id_ed25519")
        made.pin(server.host_key)
        programs = made.project / "bin"
        programs.mkdir()
        ssh = shutil.which("ssh")
        outputs = json.dumps({"vms": {VM: {"address": ADDRESS}}})
        for name, body in (
            ("ssh", f'exec {ssh} -p {server.port} "$@"'),
            ("pulumi", f"echo '{outputs}'"),
        ):
            (programs / name).write_text(f"#!/bin/sh\n{body}\n")
            (programs / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        monkeypatch.setattr(boot, "SSH_USER", "root")
        for name in ("SSH_AUTH_SOCK", "SSH_AGENT_PID"):
            monkeypatch.setenv(name, server.agent[name])
        try:
            yield made
        finally:
            made.hang_up()


Ended = subprocess.CompletedProcess[str]
Way = Callable[[Vm], Ended]


def run(words: Sequence[str], **given: Any) -> Ended:
    return subprocess.run(words, check=False, capture_output=True, text=True, timeout=60, **given)


def command_of_the_graph(vm: Vm) -> Ended:
    """As `Vm.ssh_command` has it, which a shell runs."""
    start = shlex.join((*vm.ssh, f"root@{ADDRESS}"))
    return run(("/bin/sh", "-c", f"exec {start} {shlex.quote(vm.leave_mark)}"))


def make_ssh(vm: Vm) -> Ended:
    """As the Makefile runs it, but for the user."""
    enter = "import sys; from controller import enter, ssh; ssh.SSH_USER = 'root';"
    arguments = ("--stack", "prod", VM, "--command", vm.leave_mark)
    return run(
        (sys.executable, "-c", f"{enter} sys.exit(enter.main(sys.argv[1:]))", *arguments),
        cwd=vm.project,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )


def another_machines_edge(vm: Vm) -> Ended:
    """As an edge elsewhere is entered, with the user's own keys."""
    pinned = str(vm.keys / f"{VM}.known_hosts")
    start = ("ssh", *verified(known_hosts=pinned, host=VM))
    return run((*start, f"root@{ADDRESS}", vm.leave_mark))


def dockers_provider(vm: Vm) -> Ended:
    """As it runs `docker system dial-stdio`, with `ssh_opts` before its own words."""
    connection = ("-l", "root", "-p", str(vm.server.port), "--", ADDRESS)
    return run((*vm.ssh, *connection, vm.leave_mark))


WAYS: list[Way] = [command_of_the_graph, dockers_provider, make_ssh, another_machines_edge]


@pytest.mark.parametrize("way", WAYS)
def test_the_right_machine_is_entered_at_the_first_connection(vm: Vm, way: Way) -> None:
    before, logins = vm.pinned, vm.server.logins
    done = way(vm)
    assert (done.returncode, done.stdout, done.stderr) == (0, "there\n", "")
    assert vm.mark.exists()
    assert vm.server.logins == logins + 1
    assert vm.pinned == before


@pytest.mark.parametrize("stack", ["prod", "s" * 100])
def test_a_stack_of_any_name_is_entered_and_a_connection_shared_where_there_is_room(
    vm: Vm, stack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(vm.project)
    keys = Path(".gatehouse") / stack
    if not keys.exists():
        shutil.copytree(vm.keys, keys)
    logins = vm.server.logins
    for _ in range(2):
        done = run(("ssh", *options_in(keys, VM), f"root@{ADDRESS}", "echo there"))
        assert (done.returncode, done.stdout, done.stderr) == (0, "there\n", "")
    assert vm.server.logins == logins + (1 if stack == "prod" else 2)


@pytest.mark.parametrize("way", WAYS)
def test_on_a_machine_with_another_key_nothing_is_run(vm: Vm, way: Way) -> None:
    vm.pin(vm.server.other_key)
    before, logins = vm.pinned, vm.server.logins
    done = way(vm)
    assert (done.returncode, done.stdout) == (255, "")
    assert REFUSED in done.stderr
    assert not vm.mark.exists()
    assert vm.server.logins == logins
    assert vm.pinned == before


def test_a_machine_without_a_pinned_key_is_not_entered_either(vm: Vm) -> None:
    (vm.keys / f"{VM}.known_hosts").write_text("")
    done = command_of_the_graph(vm)
    assert (done.returncode, vm.mark.exists(), vm.pinned) == (255, False, "")
    assert REFUSED in done.stderr


def settings(vm: Vm) -> Settings:
    command = vm.leave_mark
    return Settings(
        uri="test:///default",
        domain="3c8e6c33",
        vm=VM,
        key_file=str(vm.keys / "id_ed25519"),
        known_hosts=str(vm.keys / f"{VM}.known_hosts"),
        address=ADDRESS,
        ready=command,
        waits_for="it",
        drain=command,
        boot_timeout=20,
        drain_timeout=20,
        shutdown_timeout=20,
    )


def test_the_gate_of_a_boot_opens_for_the_right_machine_only(vm: Vm) -> None:
    assert boot.problem(settings(vm), ADDRESS) is None
    assert vm.mark.exists()


def test_the_gate_of_a_boot_stays_shut_for_another(vm: Vm) -> None:
    vm.pin(vm.server.other_key)
    with pytest.raises(BootError, match="a host key that is not web-0's"):
        boot.problem(settings(vm), ADDRESS)
    assert not vm.mark.exists()


def test_another_machine_is_not_told_to_leave(vm: Vm, capsys: pytest.CaptureFixture[str]) -> None:
    vm.pin(vm.server.other_key)
    boot.drain(settings(vm), ADDRESS)
    assert REFUSED in capsys.readouterr().err
    assert not vm.mark.exists()


def test_the_lab_engine_asks_no_docker_of_another_machine(vm: Vm) -> None:
    vm.pin(vm.server.other_key)
    inputs = {
        "host": f"ssh://root@{ADDRESS}:{vm.server.port}",
        "sshOpts": json.dumps(options_in(vm.keys, VM)),
    }
    logins = vm.server.logins
    host = DockerHost(inputs)
    try:
        with pytest.raises(ProviderUnreachable, match=REFUSED):
            host.ask(lambda client: client.version())
    finally:
        host.close()
    assert vm.server.logins == logins


def test_an_edge_that_is_a_vm_is_not_put_on_another_machine(vm: Vm) -> None:
    words = [*vm.ssh, f"root@{ADDRESS}"]
    check(words, "edge.vm", "web-edge")
    vm.hang_up()
    vm.pin(vm.server.other_key)
    with pytest.raises(Gone, match=r"the address of web-edge has a different host key"):
        check(words, "edge.vm", "web-edge")
