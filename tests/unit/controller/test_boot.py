"""The gate of a VM, with programs of our own in the place of virsh and ssh."""

import dataclasses
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from components.edge.edge_vm import EDGE
from components.host.container_vm import container_role
from components.vm.role import Role
from controller import boot
from controller.boot import BootError, Console, Settings

Program = Callable[[str, str], None]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Put a shell script on PATH in front of everything else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("STATE", str(tmp_path))
    monkeypatch.setattr(boot, "_POLL_SECONDS", 0.05)

    def write(name: str, body: str) -> None:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    return write


CONTAINERS = container_role(None)


def settings(timeout: float = 20, role: Role = CONTAINERS) -> Settings:
    return Settings(
        uri="test:///default",
        domain="3c8e6c33",
        vm="web-0",
        key_file="key",
        known_hosts="known_hosts",
        address="",
        ready=role.ready,
        waits_for=role.waits_for,
        drain=role.drain or "",
        boot_timeout=timeout,
        drain_timeout=timeout,
        shutdown_timeout=timeout,
    )


VIRSH = """
case "$*" in
  *domstate*) echo running ;;
  *domifaddr*) LEASE ;;
  *console*)
    trap "" TERM
    echo "[    1.0] Linux starts"
    echo "cloud-init: FAILED to find a disk"
    sleep 60; sleep 60 ;;
esac
"""
LEASE = (
    'echo " vnet0      52:54:00:aa:bb:cc    ipv6         fe80::1/64";'
    ' echo " vnet0      52:54:00:aa:bb:cc    ipv4         10.90.0.23/24"'
)


def test_the_address_is_the_ipv4_lease_once_docker_answers(program: Program) -> None:
    program("virsh", VIRSH.replace("LEASE", LEASE))
    # Refused twice, as during a boot, and then answered.
    program(
        "ssh",
        'echo x >>"$STATE/tries"; [ "$(wc -l <"$STATE/tries")" -gt 2 ] && echo 20.10.24'
        ' || { echo "Connection refused" >&2; exit 255; }',
    )
    assert boot.wait(settings()) == "10.90.0.23"


def test_the_first_connection_is_a_verified_one(program: Program, tmp_path: Path) -> None:
    program("virsh", VIRSH.replace("LEASE", LEASE))
    program("ssh", 'echo "$@" >"$STATE/arguments"; echo 20.10.24')
    boot.wait(settings())
    arguments = (tmp_path / "arguments").read_text()
    assert "StrictHostKeyChecking=yes" in arguments
    assert "HostKeyAlias=web-0" in arguments
    assert "UserKnownHostsFile=known_hosts" in arguments
    assert "gatehouse@10.90.0.23" in arguments


def test_a_vm_that_never_comes_up_is_told_with_its_console(program: Program) -> None:
    program("virsh", VIRSH.replace("LEASE", "true"))
    with pytest.raises(BootError) as error:
        boot.wait(settings(timeout=2))
    message = str(error.value)
    assert message.startswith(
        "VM web-0 (domain 3c8e6c33) did not come up: still waiting for an address"
    )
    assert "farm.boot_timeout" in message
    assert "    cloud-init: FAILED to find a disk" in message


def test_a_docker_that_never_answers_is_told_with_its_last_words(program: Program) -> None:
    program("virsh", VIRSH.replace("LEASE", LEASE))
    program("ssh", 'echo "Cannot connect to the Docker daemon" >&2; exit 1')
    with pytest.raises(
        BootError, match=r"Docker over SSH at 10\.90\.0\.23 \(Cannot connect to the Docker daemon\)"
    ):
        boot.wait(settings(timeout=2))


FIRST_BOOT_FAILED = """
for last; do :; done
case "$last" in
  *"docker version"*)
    echo '{"v1": {"datasource": "NoCloud", "errors": ["packages"]}}'
    echo it has no nftables >&2; exit 1 ;;
  *cloud-init-output.log*)
    echo "E: Unable to locate package htopp"
    i=0; while [ $i -lt 100 ]; do echo "cloud-init goes on, $i"; i=$((i+1)); done ;;
esac
"""


def test_a_first_boot_that_failed_ends_the_wait_with_the_line_that_matters(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boot, "_SETTLE_SECONDS", 0.2)
    program("virsh", VIRSH.replace("LEASE", LEASE))
    program("ssh", FIRST_BOOT_FAILED)
    with pytest.raises(BootError) as error:
        boot.wait(settings(timeout=3600))
    message = str(error.value)
    assert (
        "did not come up: its first boot ended with errors, without Docker over SSH at 10.90.0.23"
        " (it has no nftables)\n"
        "  E: Unable to locate package htopp\n"
        "  the mirror has no such package for the image's release: see farm.packages\n"
    ) in message


def test_errors_of_a_first_boot_do_not_matter_if_the_vm_gets_ready(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boot, "_SETTLE_SECONDS", 3600.0)
    program("virsh", VIRSH.replace("LEASE", LEASE))
    ready = 'echo x >>"$STATE/tries"; [ "$(wc -l <"$STATE/tries")" -gt 2 ] && exit 0\n'
    program("ssh", ready + FIRST_BOOT_FAILED)
    assert boot.wait(settings()) == "10.90.0.23"


def test_what_the_console_said_long_ago_is_found_too(program: Program) -> None:
    noise = "".join(f'echo "line {number}";' for number in range(100))
    said = VIRSH.replace("LEASE", "true").replace(
        "cloud-init: FAILED to find a disk", "Gave up waiting for root file system device."
    )
    program("virsh", said.replace("    sleep 60;", f"    {noise}\n    sleep 60;", 1))
    with pytest.raises(BootError) as error:
        boot.wait(settings(timeout=2))
    first, _, tail = str(error.value).partition("The end of its console:")
    assert "\n  Gave up waiting for root file system device.\n  the image does not boot" in first
    assert "Gave up" not in tail
    assert "line 99" in tail


def test_another_host_key_ends_the_wait_at_once(program: Program) -> None:
    program("virsh", VIRSH.replace("LEASE", LEASE))
    program("ssh", 'echo "Host key verification failed." >&2; exit 255')
    with pytest.raises(
        BootError,
        match=r"not web-0's: another machine .*, or farm\.image has no cloud-init",
    ):
        boot.wait(settings(timeout=3600))


def test_a_domain_that_stopped_ends_the_wait_at_once(program: Program) -> None:
    program("virsh", 'case "$*" in *domstate*) echo "shut off" ;; esac')
    with pytest.raises(BootError, match="the domain is shut off"):
        boot.wait(settings(timeout=3600))


def test_shutdown_asks_the_guest_and_waits_for_it(program: Program, tmp_path: Path) -> None:
    program(
        "virsh",
        'case "$*" in *shutdown*) touch "$STATE/asked" ;;'
        ' *domstate*) echo x >>"$STATE/polls";'
        ' [ "$(wc -l <"$STATE/polls")" -gt 2 ] && echo "shut off" || echo running ;; esac',
    )
    boot.shutdown(settings(), "")
    assert (tmp_path / "asked").exists()
    assert len((tmp_path / "polls").read_text().splitlines()) == 3


def test_shutdown_empties_the_guest_before_it_is_asked(program: Program, tmp_path: Path) -> None:
    program("ssh", 'echo "$*" >>"$STATE/order"; echo "evacuate: nothing in flight"')
    program(
        "virsh",
        'case "$*" in *shutdown*) echo shutdown >>"$STATE/order"; touch "$STATE/asked" ;;'
        ' *domstate*) [ -e "$STATE/asked" ] && echo "shut off" || echo running ;; esac',
    )
    boot.shutdown(settings(), "10.90.0.23")
    looked, drained, asked = (tmp_path / "order").read_text().splitlines()
    assert looked.endswith("gatehouse@10.90.0.23 cat gatehouse-gate")
    assert drained.endswith("gatehouse@10.90.0.23 python3 agent.py evacuate 20")
    assert asked == "shutdown"


def test_a_drain_that_fails_is_tried_again_before_the_guest_is_asked(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boot, "_POLL_SECONDS", 0.01)
    program(
        "ssh",
        'case "$*" in *evacuate*) echo x >>"$STATE/order"; [ "$(wc -l <"$STATE/order")" -gt 2 ] ;;'
        " esac",
    )
    program(
        "virsh",
        'case "$*" in *shutdown*) echo shutdown >>"$STATE/order"; touch "$STATE/asked" ;;'
        ' *domstate*) [ -e "$STATE/asked" ] && echo "shut off" || echo running ;; esac',
    )
    boot.shutdown(settings(), "10.90.0.23")
    assert (tmp_path / "order").read_text().split() == ["x", "x", "x", "shutdown"]


def test_a_vm_that_was_waited_for_again_stays_on(
    program: Program, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program("virsh", 'case "$*" in *shutdown*) touch "$STATE/asked" ;; *) echo running ;; esac')
    # The VM's own shell, in whose home the mark is.
    program("ssh", 'for last; do :; done; cd "$STATE" && eval "$last"')
    first, second = (boot.marked(settings(), "10.90.0.23") for _ in range(2))
    for printed in (f"10.90.0.23 {first}", "10.90.0.23"):
        boot.shutdown(settings(), printed)
        assert "has been applied again since, so it stays on" in capsys.readouterr().err
        assert not (tmp_path / "asked").exists()
    boot.shutdown(settings(timeout=0), f"10.90.0.23 {second}")
    assert (tmp_path / "asked").exists()


def test_a_vm_whose_last_update_was_not_recorded_is_shut_down(
    program: Program, tmp_path: Path
) -> None:
    program("virsh", 'case "$*" in *shutdown*) touch "$STATE/asked" ;; *) echo running ;; esac')
    program("ssh", 'for last; do :; done; cd "$STATE" && eval "$last"')
    printed = f"10.90.0.23 {boot.marked(settings(), '10.90.0.23')}"
    boot.marked(settings(), "10.90.0.23", printed)
    boot.shutdown(settings(timeout=0), printed)
    assert (tmp_path / "asked").exists()


def test_a_vm_that_took_its_mark_and_did_not_answer_is_shut_down(
    program: Program, tmp_path: Path
) -> None:
    program("virsh", 'case "$*" in *shutdown*) touch "$STATE/asked" ;; *) echo running ;; esac')
    shell = 'for last; do :; done; cd "$STATE" && eval "$last"'
    program("ssh", f"{shell}; exit 255")  # the connection is lost then
    printed = f"10.90.0.23 {boot.marked(settings(), '10.90.0.23')}"
    program("ssh", shell)
    boot.shutdown(settings(timeout=0), printed)
    assert (tmp_path / "asked").exists()


@pytest.mark.parametrize("vm", ["exit 255", "echo no mark", "true", "exit 1"])
def test_a_vm_without_a_mark_is_shut_down(program: Program, tmp_path: Path, vm: str) -> None:
    program("virsh", 'case "$*" in *shutdown*) touch "$STATE/asked" ;; *) echo running ;; esac')
    program("ssh", vm)
    boot.shutdown(settings(timeout=0), "10.90.0.23 0123456789abcdef")
    assert (tmp_path / "asked").exists()


def test_a_vm_that_is_off_is_started(program: Program) -> None:
    off = '[ -e "$STATE/on" ] && echo running || echo "shut off"'
    started = f'case "$*" in *start*) touch "$STATE/on" ;; *domstate*) {off} ;; esac'
    program("virsh", f'{started}\ncase "$*" in *domifaddr*) {LEASE} ;; esac')
    program("ssh", "echo 20.10.24")
    assert boot.wait(settings()) == "10.90.0.23"


def test_a_vm_for_the_edge_is_ready_when_its_first_boot_has_ended(
    program: Program, tmp_path: Path
) -> None:
    program("virsh", VIRSH.replace("LEASE", "echo asked for a lease >&2; exit 1"))
    program(
        "ssh",
        'for last; do :; done; echo "$last" >"$STATE/asked"; echo x >>"$STATE/tries";'
        ' [ "$(wc -l <"$STATE/tries")" -gt 2 ] || { echo cloud-init is not done >&2; exit 1; }',
    )
    edge = dataclasses.replace(settings(role=EDGE), vm="web-edge", address="10.90.0.254")
    assert boot.wait(edge) == "10.90.0.254", "its own, so nobody has to be asked for it"
    asked = (tmp_path / "asked").read_text()
    assert "cloud-init/result.json" in asked
    assert "sudo -n true" in asked
    assert "docker" not in asked
    (tmp_path / "tries").unlink()
    with pytest.raises(BootError, match=r"the end of its first boot over SSH at 10\.90\.0\.254"):
        boot.wait(dataclasses.replace(edge, boot_timeout=0.04))


def test_a_vm_for_the_edge_has_no_containers_to_empty(program: Program, tmp_path: Path) -> None:
    program("ssh", 'case "$*" in *gatehouse-gate) ;; *) touch "$STATE/entered" ;; esac')
    program(
        "virsh",
        'case "$*" in *shutdown*) touch "$STATE/asked" ;;'
        ' *domstate*) [ -e "$STATE/asked" ] && echo "shut off" || echo running ;; esac',
    )
    boot.shutdown(settings(role=EDGE), "10.90.0.254")
    assert (tmp_path / "asked").exists()
    assert not (tmp_path / "entered").exists()


@pytest.mark.parametrize(
    ("role", "asked"),
    [
        (None, "python3 agent.py evacuate 30\n"),
        ("containers", "python3 agent.py evacuate 30\n"),
        ("edge", "cat gatehouse-gate\n"),
    ],
)
def test_a_vm_of_an_older_state_is_drained_by_its_role(
    program: Program, tmp_path: Path, role: str | None, asked: str | None
) -> None:
    """The delete command and its environment are those that version 0.1 has kept."""
    program("ssh", 'for last; do :; done; echo "$last" >"$STATE/asked"')
    program("virsh", 'case "$*" in *domstate*) echo running ;; *shutdown*) exit 1 ;; esac')
    environment = {
        "URI": "test:///default",
        "ADDRESS": "",
        "DOMAIN": "3c8e6c33",
        "VM": "web-0",
        "KEY_FILE": "key",
        "KNOWN_HOSTS": "known_hosts",
        "BOOT_TIMEOUT": "20",
        "DRAIN_TIMEOUT": "30",
        "SHUTDOWN_TIMEOUT": "20",
        **({} if role is None else {"ROLE": role}),
    }
    done = subprocess.run(
        ("sh", "-c", "exec python3 -m components.vm.boot shutdown"),
        check=False,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            **{f"GATEHOUSE_{name}": value for name, value in environment.items()},
            "PULUMI_COMMAND_STDOUT": "10.90.0.23\n",
        },
    )
    assert done.returncode == 0, done.stderr
    place = tmp_path / "asked"
    assert (place.read_text() if place.exists() else None) == asked


def test_shutdown_of_a_domain_that_is_gone_is_fine(program: Program) -> None:
    program("virsh", 'echo "error: failed to get domain" >&2; exit 1')
    began = time.monotonic()
    boot.shutdown(settings(timeout=3600), "10.90.0.23")
    assert time.monotonic() - began < 600, "it must not wait for what is not there"


def test_shutdown_gives_a_stubborn_guest_up_after_its_time(
    program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    program("virsh", 'case "$*" in *domstate*) echo running ;; esac')
    boot.shutdown(settings(timeout=1), "")
    assert "web-0: did not power off in 1 s" in capsys.readouterr().err


def test_the_consoles_tail_is_readable() -> None:
    console = Console()
    console.feed(b"\x1b[0;32m[  OK  ]\x1b[0m Started docker\r\n")
    console.feed(b"half a li")
    console.feed("ne ä\n".encode())
    assert console.tail() == "    [  OK  ] Started docker\n    half a line ä"


def test_the_consoles_tail_is_short() -> None:
    console = Console()
    console.feed("".join(f"line {number}\n" for number in range(1000)).encode())
    lines = console.tail().splitlines()
    assert len(lines) <= 25
    assert lines[-1] == "    line 999"
