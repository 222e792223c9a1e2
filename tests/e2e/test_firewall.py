"""The rules of the VMs' firewall, as the real nft reads them."""

import contextlib
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote.vm_firewall import firewall, rules
from remote.vm_firewall.grant import Grant
from tests.unit.remote.vm_firewall.test_firewall import grants

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="nft takes a network namespace of its own: run this as root"
)


@given(st.lists(grants, max_size=30))
def test_nft_takes_whatever_is_granted(several: list[Grant]) -> None:
    told = subprocess.run(
        ("unshare", "--net", "nft", "--file", "-"),
        input=rules.ruleset(several) * 2,  # as when the next grant comes
        check=False,
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr


# At boot.

GRANT = Grant(ssh=("10.90.0.1/32",), public=(8080,))


def boot(folder: Path) -> tuple[int, str]:
    """Run what the unit runs at boot; return its code and the rules that are in force then."""
    (load,) = [
        line.removeprefix("ExecStart=").replace(str(firewall.FOLDER), str(folder))
        for line in rules.unit(firewall.FOLDER).splitlines()
        if line.startswith("ExecStart=/bin/sh")
    ]
    booted = f"{shlex.join(shlex.split(load))}; code=$?; nft list ruleset; exit $code"
    told = subprocess.run(
        ("unshare", "--net", "sh", "-c", booted), check=False, capture_output=True, text=True
    )
    return told.returncode, told.stdout


@pytest.fixture
def written(tmp_path: Path) -> Path:
    (tmp_path / "firewall.nft").write_text(rules.ruleset([GRANT]))
    (tmp_path / "firewall-ssh.nft").write_text(rules.fallback([GRANT]))
    return tmp_path


def test_the_rules_are_in_force_after_a_boot(written: Path) -> None:
    code, loaded = boot(written)
    assert code == 0
    assert "tcp dport 8080 accept" in loaded
    assert "\t\tdrop" in loaded


@given(cut=st.integers(0, len(rules.ruleset([GRANT])) - 5))
def test_a_vm_whose_rules_do_not_load_answers_ssh_only(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("boot")
    (folder / "firewall-ssh.nft").write_text(rules.fallback([GRANT]))
    (folder / "firewall.nft").write_text(rules.ruleset([GRANT])[:cut])
    code, loaded = boot(folder)
    assert code == 1, "systemd shows it as failed"
    assert "ip saddr 10.90.0.1 tcp dport 22 accept" in loaded
    assert "policy drop" in loaded
    assert "8080" not in loaded


# What the kernel keeps in mind.


@contextlib.contextmanager
def namespace() -> Iterator[int]:
    """A network namespace of its own; gives the process that holds it."""
    hold = ("unshare", "--net", "sh", "-c", "ip link set lo up; echo; read end")
    with subprocess.Popen(hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline()
        yield holder.pid
        holder.kill()


def inside(pid: int, *words: str, text: str = "") -> str:
    told = subprocess.run(
        ("nsenter", f"--target={pid}", "--net", *words),
        check=True,
        input=text,
        capture_output=True,
        text=True,
    )
    return told.stdout


_CONNECT = """
import socket, sys
for _ in range(200):
    with socket.create_connection(("192.0.2.1", int(sys.argv[1])), 10) as connection:
        assert connection.recv(2) == b"hi"
"""
_LISTEN = """
import socket, sys
with socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=128) as server:
    print(flush=True)
    while True:
        connection, _ = server.accept()
        connection.sendall(b"hi")
        connection.close()
"""


@pytest.mark.parametrize(("granted", "kept"), [("public", 0), ("edge", 200)])
def test_clients_take_no_room_in_the_table_of_connections(granted: str, kept: int) -> None:
    grant = (
        Grant(public=(8080,))
        if granted == "public"
        else Grant(edges=("192.0.2.2",), edge_ports="8080")
    )
    with namespace() as vm, namespace() as client:
        link = ("link", "add", "near", "type", "veth", "peer", "name", "far", "netns", str(client))
        inside(vm, "ip", *link)
        for pid, device, address in ((vm, "near", 1), (client, "far", 2)):
            inside(pid, "ip", "address", "add", f"192.0.2.{address}/24", "dev", device)
            inside(pid, "ip", "link", "set", device, "up")
        inside(vm, "nft", "--file", "-", text=rules.ruleset([grant]))
        listen = ("nsenter", f"--target={vm}", "--net", sys.executable, "-c", _LISTEN, "8080")
        with subprocess.Popen(listen, stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            assert server.stdout.readline()
            inside(client, sys.executable, "-c", _CONNECT, "8080")
            server.kill()
        count = int(inside(vm, "cat", "/proc/sys/net/netfilter/nf_conntrack_count"))
        assert count >= kept if kept else count < 10
        with pytest.raises(subprocess.CalledProcessError):
            inside(client, "timeout", "1", sys.executable, "-c", _CONNECT, "8081")
