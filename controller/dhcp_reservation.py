"""Reserve a VM's address in its network: ``python3 -m controller.dhcp_reservation set|remove``.

It adds an entry to the network's DHCP server, both live and persistent, so that a replaced VM comes
back at the same address and no other VM gets it. The libvirt provider could add the entry with the
domain, but never removes it, and reports a change for every VM without a lease.

The next run receives this output, and so knows which entry belongs to it.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from controller.virsh import virsh

_LEASE = re.compile(r"([0-9a-f]{2}(?::[0-9a-f]{2}){5})\s+ipv4\s+(\d+\.\d+\.\d+\.\d+)/\d+\s+(\S+)")


class ReservationError(Exception):
    """The address cannot be reserved; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A reservation: the address of one network card."""

    mac: str
    address: str

    @property
    def xml(self) -> str:
        """The element of libvirt's network XML."""
        return f"<host mac='{self.mac}' ip='{self.address}'/>"


def entries(network: str) -> Iterator[Entry]:
    """Yield the reservations in a network's XML."""
    for host in ET.fromstring(network).iterfind("./ip/dhcp/host"):  # noqa: S314 - libvirt's own
        yield Entry(mac=host.get("mac", "").lower(), address=host.get("ip", ""))


def holder(leases: str, wanted: Entry, before: Entry | None) -> str | None:
    """Return the other holder of the address in the output of ``virsh net-dhcp-leases``."""
    own = {wanted.mac, before.mac if before is not None else ""}
    for mac, address, name in _LEASE.findall(leases):
        if address == wanted.address and mac not in own:
            return f"{mac} ({name})" if name != "-" else str(mac)
    return None


@dataclass(frozen=True)
class DhcpNetwork:
    """One of libvirt's networks, by its UUID."""

    uri: str
    id: str

    def reserve(self, wanted: Entry, before: Entry | None) -> None:
        """Make the network's DHCP server give an address to one card and no other.

        Args:
            wanted: The reservation.
            before: The previous one, which is removed if it differs.

        Raises:
            ReservationError: Another card has the address, or libvirt refuses.
        """
        there = set(entries(self._ask("net-dumpxml", self.id)))
        other = holder(self._ask("net-dhcp-leases", self.id), wanted, before) or next(
            (
                each.mac
                for each in there - {before}
                if each.address == wanted.address and each.mac != wanted.mac
            ),
            None,
        )
        if other is not None:
            raise ReservationError(
                f"edge.vm.address: the network has given it to {other}; choose another one"
                f" (got {wanted.address})"
            )
        if wanted in there:
            return
        for each in there:
            if each in (before, wanted) or each.mac == wanted.mac:
                self._update("delete", each)
        self._update("add-last", wanted)

    def release(self, entry: Entry) -> None:
        """Remove the entry; a missing entry or network is not an error."""
        told = virsh(self.uri, "net-dumpxml", self.id)
        if told.returncode == 0 and entry in entries(told.stdout):
            self._update("delete", entry)

    def _update(self, command: str, entry: Entry) -> None:
        self._ask("net-update", self.id, command, "ip-dhcp-host", entry.xml, "--live", "--config")

    def _ask(self, *arguments: str) -> str:
        told = virsh(self.uri, *arguments)
        if told.returncode != 0:
            raise ReservationError(f"virsh {arguments[0]} {self.id}: {told.stderr.strip()}")
        return told.stdout


def main(arguments: list[str]) -> int:
    """Run one of the two commands; code 1 and the reason on stderr if it failed."""
    parser = argparse.ArgumentParser("python3 -m controller.dhcp_reservation", allow_abbrev=False)
    parser.add_argument("action", choices=("set", "remove"))
    asked = parser.parse_args(arguments)
    network = DhcpNetwork(os.environ["GATEHOUSE_URI"], os.environ["GATEHOUSE_NETWORK"])
    wanted = Entry(mac=os.environ["GATEHOUSE_MAC"], address=os.environ["GATEHOUSE_ADDRESS"])
    printed = os.environ.get("PULUMI_COMMAND_STDOUT", "")
    try:
        if asked.action == "set":
            network.reserve(wanted, Entry(**json.loads(printed)) if printed else None)
            print(json.dumps(asdict(wanted)))
        else:
            network.release(wanted)
    except (ReservationError, subprocess.TimeoutExpired) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
