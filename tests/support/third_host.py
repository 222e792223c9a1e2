"""An unauthorized machine on the VMs' network, and the ports that it finds with nmap."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lab.bench.measured_lab import until
from tests.support.driver import Driver

_NAMESPACE, _ADDRESS = "third", "10.90.0.253"
_EVERY = "1-65535"


@dataclass(frozen=True)
class Scanner:
    """A machine that scans."""

    driver: Driver
    prefix: tuple[str, ...]

    def run(self, *words: str) -> str:
        """Run a command there."""
        return self.driver.inside(*self.prefix, *words)

    def tcp(self, address: str, ports: str = _EVERY) -> dict[str, set[int]]:
        """Return the TCP ports that answered, by what they said: ``open`` or ``closed``.

        The set of a state is empty where so many are in it that nmap only counts them.
        """
        return self._scan("-sS", address, ports)

    def udp(self, address: str, ports: str) -> dict[str, set[int]]:
        """Return the same for UDP ports; no answer counts as none of them."""
        return self._scan("-sU", address, ports)

    def _scan(self, kind: str, address: str, ports: str) -> dict[str, set[int]]:
        # Asked twice at 10,000 packets a second: an emulated VM takes these.
        report = self.run(
            *("nmap", kind, "-n", "-Pn", "-p", ports, "--min-rate", "10000", "--max-retries", "1"),
            *(("-6",) if ":" in address else ()),
            *("-oX", "-", address),
        )
        run = ET.fromstring(report)  # noqa: S314 - nmap's own
        assert run.find("host") is not None, f"{address} is not there"
        return {
            state: numbers
            for state in ("open", "closed")
            if (numbers := _ports(run, state)) or _count(run, state)
        }


def _ports(run: ET.Element, state: str) -> set[int]:
    """Return the ports that are listed one by one in that state."""
    found = run.findall(f".//port/state[@state='{state}']/..")
    return {int(port.attrib["portid"]) for port in found}


def _count(run: ET.Element, state: str) -> int:
    """Return the number of ports in an entry of nmap's report."""
    found = run.findall(f".//extraports[@state='{state}']")
    return sum(int(each.attrib["count"]) for each in found)


@contextmanager
def third_host(driver: Driver) -> Iterator[Scanner]:
    """Yield a machine while the block runs: a network namespace at the VMs' bridge."""
    (network,) = driver.inside("virsh", "--quiet", "net-list", "--name").split()
    found = re.search(r"bridge name='([^']+)'", driver.inside("virsh", "net-dumpxml", network))
    assert found is not None
    inside = ("ip", "netns", "exec", _NAMESPACE)
    driver.inside("ip", "netns", "add", _NAMESPACE)
    try:
        for command in (
            f"ip link add {_NAMESPACE}0 type veth peer name {_NAMESPACE}1 netns {_NAMESPACE}",
            f"ip link set {_NAMESPACE}0 master {found[1]} up",
            f"ip -n {_NAMESPACE} address add {_ADDRESS}/24 dev {_NAMESPACE}1",
            f"ip -n {_NAMESPACE} link set {_NAMESPACE}1 up",
            f"ip -n {_NAMESPACE} link set lo up",
            f"ip -n {_NAMESPACE} route add default via 10.90.0.1",
        ):
            driver.inside(*command.split())
        scanner = Scanner(driver, inside)
        address = next(iter(driver.outputs()["vms"].values()))["address"]
        # A bridge's new port learns first.
        assert until(lambda: "1 host up" in scanner.run("nmap", "-sn", "-n", address), 30)
        yield scanner
    finally:
        driver.inside("ip", "netns", "delete", _NAMESPACE)


def here(driver: Driver) -> Scanner:
    """Return this machine as the one that scans: the VMs let it in."""
    return Scanner(driver, ())
