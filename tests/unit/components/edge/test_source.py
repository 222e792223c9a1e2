"""By which address the VMs see the edge, which Traefik trusts, and this machine."""

import socket
from ipaddress import IPv4Interface, IPv4Network
from typing import Any

import pytest

from components.config import checks, machine
from components.config.loading import parse
from components.config.machine import MachineFacts
from components.config.models.stack import Stack
from components.edge.source import sources
from components.vm.ssh_sources import ssh_from
from tests.support.configs import BASE
from tests.support.hostile import HOST_KEY

KEY = HOST_KEY
BRIDGE = {
    "bridge": "br0",
    "addresses": ["192.0.2.10/24", "192.0.2.11/24"],
    "gateway": "192.0.2.1",
}


def stack(network: dict[str, Any] | None = None, **edge: Any) -> Any:
    if "host" in edge:
        edge["host_key"] = KEY
    return parse({**BASE, "farm": {**BASE["farm"], "network": network or {}}, "edge": edge})


@pytest.mark.parametrize(
    ("network", "edge", "known", "expected"),
    [
        # Whoever reaches a network behind libvirt's NAT is its host, whatever else it is called.
        ({}, {}, (), ("10.90.0.1",)),
        ({"cidr": "10.7.0.0/16"}, {}, (), ("10.7.0.1",)),
        ({}, {"host": "kvm1.example.org"}, ("192.0.2.7",), ("10.90.0.1",)),
        # But for a machine inside of it.
        ({}, {"host": "10.90.0.9"}, ("10.90.0.9",), ("10.90.0.9",)),
        # On a bridge, the edge has an address of its own, or several.
        (BRIDGE, {}, ("192.0.2.5",), ("192.0.2.5",)),
        (BRIDGE, {"host": "edge.example.org"}, ("192.0.2.5", "192.0.2.6"), None),
        # What the operator says, wins.
        ({}, {"source": "198.51.100.7"}, (), ("198.51.100.7",)),
        (BRIDGE, {"source": "198.51.100.7"}, ("192.0.2.5",), ("198.51.100.7",)),
    ],
)
def test_the_address_that_vms_see(
    network: dict[str, Any],
    edge: dict[str, Any],
    known: tuple[str, ...],
    expected: tuple[str, ...] | None,
) -> None:
    assert sources(stack(network, **edge), MachineFacts(edge_addresses=known)) == (
        expected or known
    )


def test_an_address_that_cannot_be_told_has_to_be_said() -> None:
    here = MachineFacts(own_addresses=("192.0.2.5",))
    told = list(checks.on_this_machine(stack(BRIDGE, host="edge.example.org"), here))
    assert told == [
        "edge.source: edge.host edge.example.org resolves to no IPv4 address on this machine; give"
        " the address from which the VMs will see the edge (got nothing)"
    ]
    told = list(checks.on_this_machine(stack(BRIDGE), MachineFacts()))
    assert told == [
        "edge.source: this machine has no route to farm.network.addresses; give the address from"
        " which the VMs will see the edge (got nothing)",
        "farm.ssh_from: this machine has no route to farm.network.addresses; give the address from"
        " which the VMs will see it (got nothing)",
    ]
    assert not list(checks.on_this_machine(stack(BRIDGE, source="192.0.2.5"), here))


@pytest.mark.parametrize(
    ("network", "own", "expected"),
    [
        ({}, (), ("10.90.0.1/32",)),
        ({"cidr": "10.7.0.0/16"}, ("192.0.2.5",), ("10.7.0.1/32",)),
        (BRIDGE, ("192.0.2.5", "192.0.2.6"), ("192.0.2.5/32", "192.0.2.6/32")),
        (BRIDGE, (), ()),
    ],
)
def test_who_may_enter_by_ssh(
    network: dict[str, Any], own: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert ssh_from(stack(network).farm, own) == expected


def test_who_may_enter_by_ssh_is_said_by_the_operator_first() -> None:
    said = stack({**BRIDGE}).farm.model_copy(
        update={"ssh_from": (IPv4Network("198.51.100.0/24"), IPv4Network("192.0.2.7"))}
    )
    assert ssh_from(said, ("192.0.2.5",)) == ("198.51.100.0/24", "192.0.2.7/32")


def test_this_machines_address_on_the_way_to_the_vms() -> None:
    facts = machine.facts(with_vms_here(stack(BRIDGE)))
    assert facts.edge_addresses == facts.own_addresses == ("127.0.0.1",)
    remote = machine.facts(with_vms_here(stack(BRIDGE, host="192.0.2.80")))
    assert remote.edge_addresses == ("192.0.2.80",)
    assert remote.own_addresses == ("127.0.0.1",)


def with_vms_here(made: Stack) -> Stack:
    """Return a stack whose VMs have addresses that this machine has a way to, wherever it runs."""
    here = {"addresses": (IPv4Interface("127.0.0.5/8"), IPv4Interface("127.0.0.6/8"))}
    network = made.farm.network.model_copy(update=here)
    return made.model_copy(update={"farm": made.farm.model_copy(update={"network": network})})


def test_a_host_is_what_its_name_means(monkeypatch: pytest.MonkeyPatch) -> None:
    def known(host: str, *_: object) -> list[tuple[Any, ...]]:
        if host != "edge.example.org":
            raise socket.gaierror(-2, "Name or service not known")
        return [(2, 1, 6, "", (address, 0)) for address in ("192.0.2.6", "192.0.2.5", "192.0.2.6")]

    monkeypatch.setattr(socket, "getaddrinfo", known)
    assert machine.resolved("edge.example.org") == ("192.0.2.5", "192.0.2.6")
    assert machine.resolved("nobody.example.org") == ()


def test_an_ipv6_address_is_none_that_vms_see() -> None:
    assert machine.resolved("2001:db8::1") == ()
    assert machine.resolved("192.0.2.7") == ("192.0.2.7",)
