"""Where the VMs see the edge's connections come from, from config and what the machine tells.

Traefik believes what this address says of a client, and nobody else.
"""

from ipaddress import IPv4Address

from components.config.machine import Facts
from components.config.models.stack import Stack
from components.edge.edge_vm import edge_address


def sources(stack: Stack, facts: Facts) -> tuple[str, ...]:
    """Return the IPv4 addresses that the edge has for the VMs; none if that cannot be told.

    More than one where ways to the VMs differ, or a name means several.
    """
    edge, network = stack.edge, stack.farm.network
    if edge.source is not None:
        return (edge.source,)
    if edge.vm is not None:
        address = edge_address(stack.farm, edge.vm)
        return () if address is None else (str(address.ip),)
    if network.bridge is not None:
        return facts.edge_addresses
    inside = [each for each in facts.edge_addresses if IPv4Address(each) in stack.farm.cidr]
    return tuple(inside) or (stack.farm.host_address,)
