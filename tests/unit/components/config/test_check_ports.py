"""Two listeners of the edge's machine never share an address and a port, and others may."""

import copy
import errno
import itertools
import socket
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config.checks.ports import TakenPort, others, ours, ports
from components.config.loading import ConfigError, parse
from tests.support.configs import BASE, problems
from tests.support.hostile import HOST_KEY

ADDRESSES = ("127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1")  # noqa: S104


def _bound(address: str, port: int) -> socket.socket | None:
    """Return a socket that listens there as HAProxy's do, but alone; None if Linux refuses."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((address, port))
        made.listen()
    except OSError as error:
        made.close()
        if error.errno != errno.EADDRINUSE:
            raise
        return None
    return made


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
@pytest.mark.parametrize(("one", "other"), [*itertools.product(ADDRESSES, repeat=2)])
def test_addresses_meet_where_linux_says_so(one: str, other: str) -> None:
    first = _bound(one, 0)
    assert first is not None
    with first:
        port = first.getsockname()[1]
        second = _bound(other, port)
        if second is not None:
            second.close()
    listeners = [TakenPort(name="", address=_mapped(each), port=port) for each in (one, other)]
    assert listeners[0].meets(listeners[1]) == (second is None)


def _mapped(text: str) -> Any:
    address = ip_address(text)
    return (address.ipv4_mapped if address.version == 6 else None) or address


_PORTS = st.sampled_from((22, 53, 80, 443, 2222, 5000, 8404, 16509))
_BINDS = st.sampled_from(("0.0.0.0", "127.0.0.1", "192.0.2.80", "10.90.0.1", "::", "::1"))  # noqa: S104


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    raw = copy.deepcopy(BASE)
    edge: dict[str, Any] = {
        "bind": draw(_BINDS),
        "port": draw(_PORTS),
        "stats": {"bind": draw(_BINDS), "port": draw(_PORTS)},
    }
    if draw(st.booleans()):
        edge["tls"] = {"port": draw(_PORTS), "self_signed": True}
    match draw(st.sampled_from(("here", "host", "vm"))):
        case "host":
            edge |= {
                "host": draw(st.sampled_from(("192.0.2.80", "kvm1.example.org", "127.0.0.1"))),
                "host_key": HOST_KEY,
                "ssh_port": draw(_PORTS),
            }
        case "vm":
            edge |= {"vm": True, "bind": draw(st.sampled_from(("0.0.0.0", "::")))}  # noqa: S104
    raw["edge"] = edge
    for index in range(draw(st.integers(0, 3))):
        raw["services"][f"db{index}"] = {"image": "db:1", "port": 1, "tcp": {"port": draw(_PORTS)}}
    if draw(st.booleans()):
        host = draw(st.sampled_from(("192.0.2.80", "10.90.0.1", "10.90.0.254", "198.51.100.1")))
        raw["farm"]["registry_mirror"] = f"http://{host}:{draw(_PORTS)}"
    if draw(st.booleans()):
        raw["farm"]["hypervisors"] = [{"uri": "qemu+tcp://kvm1.example.org/system"}]
        raw["farm"]["network"] = {
            "bridge": "br0",
            "gateway": "192.0.2.1",
            "addresses": ["192.0.2.10/24", "192.0.2.11/24"],
        }
        if "vm" in edge:
            edge["vm"] = {"address": "192.0.2.12/24"}
    return raw


@given(configs())
def test_listeners_of_one_address_and_port_are_refused_and_others_never(
    raw: dict[str, Any],
) -> None:
    if _clash(raw):
        with pytest.raises(ConfigError) as refused:
            parse(raw)
        assert all(": is taken by " in problem for problem in refused.value.problems)
        return
    stack = parse(raw)
    listeners = list(ours(stack))
    for one, other in itertools.combinations(listeners, 2):
        assert not one.meets(other), (one, other)
    for one, other in itertools.product(listeners, others(stack)):
        assert not one.meets(other), (one, other)


def _clash(raw: dict[str, Any]) -> bool:
    """Say it again, from the raw config, in the plainest words."""
    edge, farm = raw["edge"], raw["farm"]
    mine = [(edge["bind"], edge["port"]), (edge["stats"]["bind"], edge["stats"]["port"])]
    if "tls" in edge:
        mine.append((edge["bind"], edge["tls"]["port"]))
    mine += [
        (edge["bind"], each["tcp"]["port"]) for each in raw["services"].values() if "tcp" in each
    ]
    bridge = "network" in farm
    theirs = []
    vm_address = "192.0.2.12" if bridge else "10.90.0.254"
    if "host" in edge:
        theirs.append(("::", edge["ssh_port"]))
        if edge["host"] == "kvm1.example.org" and bridge:
            theirs.append(("::", 16509))
    if "vm" in edge:
        theirs.append(("::", 22))
    on_the_hypervisor = not bridge and "vm" not in edge and edge.get("host") in (None, "127.0.0.1")
    if on_the_hypervisor:
        theirs.append(("10.90.0.1", 53))
    if "registry_mirror" in farm:
        host, _, port = farm["registry_mirror"].removeprefix("http://").rpartition(":")
        names = {edge["bind"], edge["stats"]["bind"], edge.get("host")}
        names |= {vm_address} if "vm" in edge else set()
        names |= {"10.90.0.1"} if on_the_hypervisor else set()
        if host in names:
            theirs.append((host, int(port)))
    pairs = [*itertools.combinations(mine, 2), *itertools.product(mine, theirs)]
    return any(one[1] == other[1] and _same(one[0], other[0]) for one, other in pairs)


def _same(one: str, other: str) -> bool:
    if one == other or "::" in (one, other):
        return True
    return "0.0.0.0" in (one, other) and ":" not in one + other  # noqa: S104


def test_a_registry_on_this_machine_is_seen_by_its_address() -> None:
    raw = copy.deepcopy(BASE)
    raw["farm"]["registry_mirror"] = "http://192.0.2.80:5000"
    raw["services"]["db"] = {"image": "db:1", "port": 1, "tcp": {"port": 5000}}
    stack = parse(raw)
    assert list(ports(stack, own=["198.51.100.1"])) == []
    assert list(ports(stack, own=["192.0.2.80"])) == [
        "services.db.tcp.port: is taken by farm.registry_mirror; choose another port (got 5000)"
    ]


KVM = {
    "host": "kvm1.example.org",
    "host_key": HOST_KEY,
}
BRIDGE = {
    "hypervisors": [{"uri": "qemu+tcp://kvm1.example.org/system"}],
    "network": {
        "bridge": "br0",
        "gateway": "192.0.2.1",
        "addresses": ["192.0.2.10/24", "192.0.2.11/24"],
    },
}


@pytest.mark.parametrize(
    ("edge", "farm", "port", "holder"),
    [
        ({"port": 8000}, {}, 8000, "edge.port"),
        ({"tls": {"port": 8443, "self_signed": True}}, {}, 8443, "edge.tls.port"),
        ({"stats": {"bind": "0.0.0.0", "port": 8404}}, {}, 8404, "edge.stats.port"),  # noqa: S104
        ({**KVM, "ssh_port": 2222}, {}, 2222, "edge.ssh_port"),
        ({**KVM, "ssh_port": 2222}, BRIDGE, 16509, "the hypervisor's farm.hypervisors.0.uri"),
        ({}, {}, 53, "libvirt's DNS server of farm.network.cidr"),
        ({**KVM, "host": "127.0.0.1"}, {}, 53, "libvirt's DNS server of farm.network.cidr"),
        ({"vm": True}, {}, 22, "the SSH server of web-edge"),
    ],
)
def test_a_port_that_another_has_is_refused_by_both_names(
    edge: dict[str, Any], farm: dict[str, Any], port: int, holder: str
) -> None:
    raw = copy.deepcopy(BASE)
    raw["edge"] = {**raw.get("edge", {}), "bind": "0.0.0.0", **edge}  # noqa: S104
    raw["farm"] |= farm
    raw["services"]["db"] = {"image": "db:1", "port": 1, "tcp": {"port": port}}
    (problem,) = problems(raw)
    assert problem == (
        f"services.db.tcp.port: is taken by {holder}; choose another port (got {port})"
    )
    raw["services"]["db"]["tcp"]["port"] = port + 7
    assert problems(raw) == ()


def test_a_port_of_loopback_and_one_of_an_address_are_two() -> None:
    raw = copy.deepcopy(BASE)
    raw["edge"] = {"bind": "192.0.2.80", "port": 8404, "stats": {"bind": "127.0.0.1"}}
    assert parse(raw).edge.stats.port == 8404
