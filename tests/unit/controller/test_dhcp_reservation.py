"""The reservation of an address, with a program of our own in the place of virsh."""

import json
import os
from pathlib import Path

import pytest

from controller import dhcp_reservation
from controller.dhcp_reservation import Entry

EDGE = Entry(mac="52:54:00:aa:00:01", address="10.90.0.254")
NETWORK = """<network><ip address='10.90.0.1' netmask='255.255.255.0'><dhcp>
<range start='10.90.0.2' end='10.90.0.254'/>{}</dhcp></ip></network>"""
LEASES = (
    " 2026-11-23 15:00:00   52:54:00:cc:dd:ee   ipv4       {}/24   web-1      ff:56:50\n"
    " 2026-11-23 15:00:00   52:54:00:cc:dd:ef   ipv4       10.90.0.25/24    -          -\n"
)


class Virsh:
    """A network of libvirt's, in files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.has()
        self.leased("10.90.0.24")

    def has(self, *entries: Entry) -> None:
        text = NETWORK.format("".join(each.xml for each in entries))
        (self.folder / "network").write_text(text)

    def leased(self, address: str) -> None:
        (self.folder / "leases").write_text(LEASES.format(address))

    @property
    def changes(self) -> list[str]:
        log = self.folder / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line.partition(" net-update ")[2] for line in lines if " net-update " in line]


@pytest.fixture
def virsh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Virsh:
    program = tmp_path / "virsh"
    program.write_text(
        '#!/bin/sh\necho " $*" >>"$STATE/log"\ncase "$*" in\n'
        '*net-dumpxml*) cat "$STATE/network" ;;\n*net-dhcp-leases*) cat "$STATE/leases" ;;\nesac\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("STATE", str(tmp_path))
    monkeypatch.setenv("GATEHOUSE_URI", "test:///default")
    monkeypatch.setenv("GATEHOUSE_NETWORK", "net")
    monkeypatch.setenv("GATEHOUSE_MAC", EDGE.mac)
    monkeypatch.setenv("GATEHOUSE_ADDRESS", EDGE.address)
    monkeypatch.delenv("PULUMI_COMMAND_STDOUT", raising=False)
    return Virsh(tmp_path)


def change(command: str, entry: Entry) -> str:
    return f"net {command} ip-dhcp-host {entry.xml} --live --config"


def test_it_is_reserved_for_good(virsh: Virsh, capsys: pytest.CaptureFixture[str]) -> None:
    assert dhcp_reservation.main(["set"]) == 0
    assert virsh.changes == [change("add-last", EDGE)]
    assert Entry(**json.loads(capsys.readouterr().out)) == EDGE


def test_again_it_changes_nothing(virsh: Virsh) -> None:
    virsh.has(EDGE)
    assert dhcp_reservation.main(["set"]) == 0
    assert virsh.changes == []


@pytest.mark.parametrize(
    "before",
    [
        Entry(mac=EDGE.mac, address="10.90.0.9"),
        Entry(mac="52:54:00:aa:00:02", address=EDGE.address),
    ],
)
def test_its_own_entry_of_before_goes(
    virsh: Virsh, monkeypatch: pytest.MonkeyPatch, before: Entry
) -> None:
    other = Entry(mac="52:54:00:00:00:07", address="10.90.0.7")
    virsh.has(other, before)
    printed = json.dumps({"mac": before.mac, "address": before.address})
    monkeypatch.setenv("PULUMI_COMMAND_STDOUT", printed)
    assert dhcp_reservation.main(["set"]) == 0
    assert virsh.changes == [change("delete", before), change("add-last", EDGE)]


def test_one_that_another_vm_has_leased_is_refused(
    virsh: Virsh, capsys: pytest.CaptureFixture[str]
) -> None:
    virsh.leased(EDGE.address)
    assert dhcp_reservation.main(["set"]) == 1
    assert capsys.readouterr().err == (
        "edge.vm.address: the network has given it to 52:54:00:cc:dd:ee (web-1); choose another"
        " one (got 10.90.0.254)\n"
    )
    assert virsh.changes == []


def test_one_that_is_reserved_for_somebody_else_is_refused(
    virsh: Virsh, capsys: pytest.CaptureFixture[str]
) -> None:
    virsh.has(Entry(mac="52:54:00:00:00:07", address=EDGE.address))
    assert dhcp_reservation.main(["set"]) == 1
    assert "the network has given it to 52:54:00:00:00:07;" in capsys.readouterr().err
    assert virsh.changes == []


def test_it_is_taken_away_and_that_again_is_fine(virsh: Virsh) -> None:
    virsh.has(EDGE)
    assert dhcp_reservation.main(["remove"]) == 0
    assert virsh.changes == [change("delete", EDGE)]
    virsh.has()
    assert dhcp_reservation.main(["remove"]) == 0
    assert len(virsh.changes) == 1


def test_a_network_that_is_gone_has_nothing_to_take_away(virsh: Virsh) -> None:
    (virsh.folder / "virsh").write_text("#!/bin/sh\necho error: Network not found >&2\nexit 1\n")
    assert dhcp_reservation.main(["remove"]) == 0


def test_what_libvirt_says_is_told(virsh: Virsh, capsys: pytest.CaptureFixture[str]) -> None:
    (virsh.folder / "virsh").write_text("#!/bin/sh\necho error: no such network >&2\nexit 1\n")
    assert dhcp_reservation.main(["set"]) == 1
    assert "virsh net-dumpxml net: error: no such network" in capsys.readouterr().err
