"""Getting onto the lab's VMs as people do, and onto no machine that only has their address.

In the lab of the scenarios before, or in one of its own if this file is run alone.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.host.container_vm import container_role
from controller.key_files import key_folder
from controller.ssh import SSH_USER, options_in
from lab.commands import PROJECT
from tests.support.driver import LAB, Driver

Ended = subprocess.CompletedProcess[str]
Way = Callable[[Driver, Path, str, str], Ended]

REFUSED = "Host key verification failed"
MARK = "/tmp/was-here"  # noqa: S108 - on the VM
_ASK_DOCKER = """
import sys
from lab.providers.docker_host import DockerHost
host = DockerHost({"host": sys.argv[1], "sshOpts": sys.argv[2]})
print(host.ask(lambda client: client.version())["Version"])
"""


@pytest.fixture(scope="module", autouse=True)
def vms(driver: Driver) -> dict[str, str]:
    """Return the address of each VM."""
    driver.brought_up()
    return {vm: value["address"] for vm, value in driver.outputs()["vms"].items()}


@pytest.fixture
def keys() -> Iterator[Path]:
    """A copy of the stack's key files, where no connection is shared yet."""
    # Not pytest's own folder, whose path is too long for a socket's.
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "keys"
        shared = shutil.ignore_patterns("*.known_hosts.*", "ssh-*", "*.qcow2")
        shutil.copytree(PROJECT / key_folder(LAB), copy, ignore=shared)
        yield copy


def enter(driver: Driver, *command: str, **given: str) -> Ended:
    environment = {**os.environ, **given}
    return driver.datacentre.enter(
        command, cwd=PROJECT, env=environment, capture=True, stdin="", timeout=120
    )


def ssh(driver: Driver, keys: Path, vm: str, address: str) -> Ended:
    command = f"touch {MARK} && hostname"
    return enter(driver, "ssh", *options_in(keys, vm), f"{SSH_USER}@{address}", command)


def docker(driver: Driver, keys: Path, vm: str, address: str) -> Ended:
    where = (f"ssh://{SSH_USER}@{address}", json.dumps(options_in(keys, vm)))
    return enter(driver, sys.executable, "-c", _ASK_DOCKER, *where)


def boot_gate(driver: Driver, keys: Path, vm: str, address: str) -> Ended:
    role = container_role(None)
    settings = {
        "URI": "qemu:///system",
        "DOMAIN": driver.domain(vm),
        "VM": vm,
        "READY": role.ready,
        "WAITS_FOR": role.waits_for,
        "DRAIN": role.drain or "",
        "KEY_FILE": str(keys / "id_ed25519"),
        "KNOWN_HOSTS": str(keys / f"{vm}.known_hosts"),
        "ADDRESS": address,
        **dict.fromkeys(("BOOT_TIMEOUT", "DRAIN_TIMEOUT", "SHUTDOWN_TIMEOUT"), "60"),
    }
    environment = {f"GATEHOUSE_{name}": value for name, value in settings.items()}
    return enter(driver, sys.executable, "-m", "controller.boot", "wait", **environment)


def marked(driver: Driver, vm: str) -> bool:
    return driver.on_vm(vm, f"test -e {MARK} && rm {MARK} && echo yes || echo no") == "yes\n"


# make ssh


def test_a_command_on_each_vm(driver: Driver, vms: dict[str, str]) -> None:
    for vm in vms:
        done = driver.make_ssh(f"VM={vm}", "CMD=hostname; id -un")
        assert (done.returncode, done.stdout) == (0, f"{vm}\n{SSH_USER}\n"), done.stderr
        docker_there = driver.make_ssh(f"VM={vm}", "CMD=docker ps --format {{.ID}}")
        assert docker_there.stdout.split(), "Traefik's at least"


def test_a_shell_on_each_vm(driver: Driver, vms: dict[str, str]) -> None:
    for vm in vms:
        done = driver.make_ssh(f"VM={vm}", stdin='echo "at $(hostname)"\nexit 0\n')
        assert done.returncode == 0, done.stderr
        assert f"at {vm}" in done.stdout.splitlines()


def test_a_command_gets_there_as_it_was_given(driver: Driver) -> None:
    command = 'printf \'<%s>\' "$HOME" "it\'s" $(echo a b) -x'
    done = driver.make_ssh("VM=web-0", f"CMD={command}")
    assert done.stdout == f"</home/{SSH_USER}><it's><a><b><-x>"
    done = driver.make_ssh("VM=web-0", "CMD=cat", stdin="what it reads\n")
    assert done.stdout == "what it reads\n"
    assert driver.make_ssh("VM=web-0", "CMD=exit 3").returncode != 0


def test_a_vm_that_is_not_there_is_told_with_those_that_are(
    driver: Driver, vms: dict[str, str]
) -> None:
    done = driver.make_ssh("VM=web-77")
    assert done.returncode != 0
    there = ", ".join(vms)
    assert f"VM: must be one of the stack's VMs; there are {there} (got web-77)" in done.stderr
    assert f"there are {there} (got none)" in driver.make_ssh("CMD=hostname").stderr


# The right machine at the first connection, and no other


@pytest.mark.parametrize("way", [ssh, docker, boot_gate])
def test_the_first_connection_is_verified_and_nobody_is_asked(
    driver: Driver, vms: dict[str, str], keys: Path, way: Way
) -> None:
    vm, address = next(iter(vms.items()))
    before = (keys / f"{vm}.known_hosts").read_text()
    done = way(driver, keys, vm, address)
    assert done.returncode == 0, done.stderr
    if way is not docker:
        assert done.stdout.split()[0] == (vm if way is ssh else address)
    assert (keys / f"{vm}.known_hosts").read_text() == before
    assert marked(driver, vm) is (way is ssh)


@pytest.mark.parametrize("way", [ssh, docker, boot_gate])
def test_a_machine_with_another_host_key_is_refused(
    driver: Driver, vms: dict[str, str], keys: Path, way: Way
) -> None:
    vm, other = list(vms)[:2]
    as_pinned = (keys / f"{other}.known_hosts").read_text()
    (keys / f"{vm}.known_hosts").write_text(as_pinned.replace(f"{other} ", f"{vm} ", 1))
    done = way(driver, keys, vm, vms[vm])
    assert done.returncode != 0
    why = f"a host key that is not {vm}'s" if way is boot_gate else REFUSED
    assert why in done.stderr
    assert not marked(driver, vm)


@contextlib.contextmanager
def pinned_as(driver: Driver, vm: str, address: str, text: str) -> Iterator[None]:
    """Have another key pinned for a VM for as long as the block runs."""
    folder = key_folder(LAB)
    path = PROJECT / folder / f"{vm}.known_hosts"
    before = path.read_text()
    # One that is open would be shared: it was verified when it was made.
    enter(driver, "ssh", *options_in(folder, vm), "-O", "exit", f"{SSH_USER}@{address}")
    path.write_text(text)
    try:
        yield
    finally:
        path.write_text(before)


def test_make_ssh_refuses_it_too(driver: Driver, vms: dict[str, str]) -> None:
    vm, other = list(vms)[:2]
    theirs = (PROJECT / key_folder(LAB) / f"{other}.known_hosts").read_text()
    with pinned_as(driver, vm, vms[vm], theirs.replace(f"{other} ", f"{vm} ", 1)):
        done = driver.make_ssh(f"VM={vm}", f"CMD=touch {MARK}")
    assert done.returncode != 0
    assert REFUSED in done.stderr
    assert not marked(driver, vm)


def test_the_key_files_are_for_this_user_only() -> None:
    folder = PROJECT / key_folder(LAB)
    paths = (folder, *folder.rglob("*"))
    wrong = [
        path
        for path in paths
        if path.lstat().st_mode & 0o777 != (0o700 if path.is_dir() else 0o600)
    ]
    assert wrong == []
