"""The messages for wrong networks and addresses."""

import pytest

from tests.support.configs import BRIDGE, Mistake, assert_refused

MISTAKES: list[Mistake] = [
    # Networks.
    (
        "farm/network",
        {"cidr": "10.0.0.1/24"},
        "farm.network.cidr: must be an IPv4 network such as 10.90.0.0/24; did you mean"
        " 10.0.0.0/24? (got 10.0.0.1/24)",
    ),
    (
        "farm/network",
        {"cidr": "10.0.0.0/30"},
        "farm.network.cidr: must have room for VMs: a prefix from /16 to /29 (got 10.0.0.0/30)",
    ),
    (
        "farm/network",
        {"cidr": "10.0.0.0/24", "bridge": "br0"},
        "farm.network: has both cidr and bridge; give one of them (got a map)",
    ),
    (
        "farm/network",
        {"bridge": "br0"},
        "farm.network: needs addresses and gateway with a bridge, where Gatehouse runs no"
        " DHCP server (got a map)",
    ),
    (
        "farm/network",
        {"gateway": "192.0.2.1"},
        "farm.network: gateway is for a bridge; Gatehouse's own network gives addresses by"
        " DHCP (got a map)",
    ),
    (
        "farm/network",
        {**BRIDGE, "addresses": ["192.0.2.10/24"]},
        "farm.network.addresses: must have one for each of the 2 VMs (got 1)",
    ),
    (
        "farm/network",
        {**BRIDGE, "addresses": ["192.0.2.10/24", "192.0.2.10/24"]},
        "farm.network.addresses.1: is given twice (got 192.0.2.10)",
    ),
    (
        "farm/network",
        {**BRIDGE, "addresses": ["192.0.2.1/24", "192.0.2.10/24"]},
        "farm.network.addresses.0: is farm.network.gateway too; choose another address (got"
        " 192.0.2.1/24)",
    ),
    (
        "farm/network",
        {**BRIDGE, "addresses": ["192.0.2.255/24", "192.0.2.10/24"]},
        "farm.network.addresses.0: is the network's own address or its broadcast address;"
        " choose one between them (got 192.0.2.255/24)",
    ),
    (
        "farm/network",
        {**BRIDGE, "addresses": ["192.0.2.10/24", "198.51.100.7/24"]},
        "farm.network.addresses.1: is not in one network with farm.network.gateway,"
        " 192.0.2.1; change one of them (got 198.51.100.7/24)",
    ),
    (
        "farm/network",
        {"macs": ["52:54:00:00:00:01", "52:54:00:00:00:01"]},
        "farm.network.macs.1: is given twice (got 52:54:00:00:00:01)",
    ),
    (
        "farm/network",
        {"macs": ["53:54:00:00:00:01", "52:54:00:00:00:01"]},
        "farm.network.macs.0: is a multicast address; make its first byte even (got"
        " 53:54:00:00:00:01)",
    ),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: str(mistake[:2])[:50])
def test_a_mistake_is_reported_by_its_path(mistake: Mistake) -> None:
    assert_refused(mistake)
