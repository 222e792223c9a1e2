"""The TCP ports of the edge's machine: no two listeners may share an address and a port.

The only place where ports are compared. HAProxy would not notice: it binds with SO_REUSEPORT, and
Linux then spreads connections over both listeners.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

from components.config.models.stack import Stack
from components.edge.domains import domains
from components.edge.edge_vm import edge_address, edge_name

_Address = IPv4Address | IPv6Address
_EVERY = IPv6Address("::")  # dual-stack: by default, Linux includes IPv4
_SSH_PORT = 22
_DNS_PORT = 53
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, kw_only=True)
class TakenPort:
    """Something that takes TCP connections on the edge's machine."""

    name: str
    """The config's key, or a description of a program that the config implies."""
    address: _Address
    port: int

    def meets(self, other: "TakenPort") -> bool:
        """Whether Linux refuses one of two listeners while the other exists."""
        return self.port == other.port and _overlap(self.address, other.address)


def ports(stack: Stack, own: Sequence[str] = ()) -> Iterable[str]:
    """Yield the ports of HAProxy and its helpers that another listener on their machine uses.

    Args:
        stack: The config.
        own: The addresses of this machine, if they are known.
    """
    taken: dict[int, list[TakenPort]] = {}
    for each in others(stack, own):
        taken.setdefault(each.port, []).append(each)
    for each in ours(stack):
        there = taken.setdefault(each.port, [])
        other = next((one for one in there if each.meets(one)), None)
        if other is None:
            there.append(each)
        else:
            yield f"{each.name}: is taken by {other.name}; choose another port (got {each.port})"


def ours(stack: Stack) -> Iterator[TakenPort]:
    """Yield Gatehouse's listeners on the edge's machine, by the keys that set their ports."""
    edge, bind = stack.edge, _address(stack.edge.bind)
    yield TakenPort(name="edge.port", address=bind, port=edge.port)
    if edge.tls is not None:
        yield TakenPort(name="edge.tls.port", address=bind, port=edge.tls.port)
    yield TakenPort(name="edge.stats.port", address=_address(edge.stats.bind), port=edge.stats.port)
    for name, service in stack.services.items():
        if service.tcp is not None:
            key = f"services.{name}.tcp.port"
            yield TakenPort(name=key, address=bind, port=service.tcp.port)


def others(stack: Stack, own: Sequence[str] = ()) -> Iterator[TakenPort]:
    """Yield the listeners of other programs there, as far as the config implies them."""
    edge, farm = stack.edge, stack.farm
    if edge.host is not None:
        yield TakenPort(name="edge.ssh_port", address=_EVERY, port=edge.ssh_port)
    if edge.vm is not None:
        name = f"the SSH server of {edge_name(farm)}"
        yield TakenPort(name=name, address=_EVERY, port=_SSH_PORT)
    hypervisor = farm.hypervisor
    if edge.host is not None and edge.host == hypervisor.host and hypervisor.port is not None:
        name = "the hypervisor's farm.hypervisors.0.uri"
        yield TakenPort(name=name, address=_EVERY, port=hypervisor.port)
    if _here(stack) and hypervisor.local and farm.network.bridge is None:
        name = "libvirt's DNS server of farm.network.cidr"
        yield TakenPort(name=name, address=_address(farm.host_address), port=_DNS_PORT)
    if farm.registry_mirror is not None:
        parts = urlsplit(farm.registry_mirror)
        host = parts.hostname or ""
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        address = _parsed(host)
        host = host if address is None else str(address)
        if host in _names(stack, own) and host not in domains(stack.services.values()):
            yield TakenPort(name="farm.registry_mirror", address=address or _EVERY, port=port)


def _here(stack: Stack) -> bool:
    return stack.edge.here or stack.edge.host in _LOOPBACK


def _names(stack: Stack, own: Sequence[str]) -> frozenset[str]:
    """Return the known names and addresses of the edge's machine."""
    edge, farm = stack.edge, stack.farm
    names = {edge.bind, edge.stats.bind, edge.host or ""}
    if edge.vm is not None:
        address = edge_address(farm, edge.vm)
        names.add("" if address is None else str(address.ip))
    elif _here(stack):
        names.update(own)
        if farm.hypervisor.local and farm.network.bridge is None:
            names.add(farm.host_address)
    # A VM that asks loopback for a mirror asks itself.
    return frozenset(names - {"", "0.0.0.0", "::", *_LOOPBACK})  # noqa: S104 - no bind


def _parsed(host: str) -> _Address | None:
    try:
        return _address(host)
    except ValueError:
        return None


def _address(text: str) -> _Address:
    address = ipaddress.ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _overlap(one: _Address, other: _Address) -> bool:
    if one == other or _EVERY in (one, other):
        return True
    return one.version == other.version and (one.is_unspecified or other.is_unspecified)
