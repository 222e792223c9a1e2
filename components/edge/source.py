"""The addresses from which the VMs see the edge's connections, from the config and the machine.

Traefik trusts a client's address in headers from these addresses only.
"""

from ipaddress import IPv4Address

from components.config.machine import MachineFacts
from components.config.models.stack import Stack
from components.edge.edge_vm import edge_address


def sources(stack: Stack, facts: MachineFacts) -> tuple[str, ...]:
    """Return the edge's IPv4 addresses towards the VMs; none if they cannot be determined.

    There are several if routes to the VMs differ, or if a name has several addresses.
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
