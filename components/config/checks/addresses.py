"""Fixed addresses of VMs: on a bridge, or in Gatehouse's own network."""

import ipaddress
from collections.abc import Iterable
from ipaddress import IPv4Interface

from components.config.models.farm import Network


def on_bridge(path: str, address: IPv4Interface, network: Network) -> Iterable[str]:
    """Yield why a VM on a bridge cannot have ``address``."""
    yield from of_a_machine(path, address)
    if network.gateway == str(address.ip):
        yield f"{path}: is farm.network.gateway too; choose another address (got {address})"
    elif ipaddress.ip_address(network.gateway or "0.0.0.0") not in address.network:  # noqa: S104 - no bind
        yield (
            f"{path}: is not in one network with farm.network.gateway, {network.gateway}; change"
            f" one of them (got {address})"
        )


def of_a_machine(path: str, address: IPv4Interface) -> Iterable[str]:
    """Yield the error of an ``address`` that stands for a network rather than a machine."""
    if address.ip in (address.network.network_address, address.network.broadcast_address):
        yield (
            f"{path}: is the network's own address or its broadcast address; choose one between"
            f" them (got {address})"
        )


def multicast(path: str, mac: str) -> Iterable[str]:
    """Yield the error of a multicast MAC address."""
    if int(mac[:2], 16) & 1:
        yield f"{path}: is a multicast address; make its first byte even (got {mac})"
