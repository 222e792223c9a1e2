"""Addresses and networks that machines cannot have, by IANA's special-purpose registries."""

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network

_LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
_LINK_LOCAL = IPv4Network("169.254.0.0/16")
_KINDS: tuple[tuple[_Network, str], ...] = (
    (IPv4Network("0.0.0.0/8"), "reserved"),
    (IPv6Network("::/128"), "unspecified"),
    (IPv4Network("224.0.0.0/4"), "for multicast"),
    (IPv6Network("ff00::/8"), "for multicast"),
    (IPv4Network("255.255.255.255/32"), "for broadcast"),
    (IPv4Network("240.0.0.0/4"), "reserved"),
)


def kind(address: _Address, *, loopback: bool = True) -> str | None:
    """Return why a machine cannot have an address; None if it can.

    Args:
        address: The address.
        loopback: Whether loopback addresses are allowed.
    """
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return within(ipaddress.ip_network(mapped or address), loopback=loopback)


def within(network: _Network, *, loopback: bool = True) -> str | None:
    """Return why machines can have no address of a network; None if they can have some."""
    if not loopback and any(_has(each, network) for each in _LOOPBACK):
        return "for loopback"
    return next((name for each, name in _KINDS if _has(each, network)), None)


def overlapped(network: IPv4Network) -> IPv4Network | None:
    """Return a special network, where VMs cannot be, that a network overlaps; None if none."""
    special = (*(each for each, _ in _KINDS), *_LOOPBACK, _LINK_LOCAL)
    found = (each for each in special if isinstance(each, IPv4Network) and each.overlaps(network))
    return next(found, None)


def _has(outer: _Network, inner: _Network) -> bool:
    if isinstance(outer, IPv4Network) and isinstance(inner, IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(outer, IPv6Network) and isinstance(inner, IPv6Network):
        return inner.subnet_of(outer)
    return False
