"""The edge's ports for everybody, which the firewall of an edge that is a VM has to let in."""

import ipaddress
from collections.abc import Iterable

from components.models.edge import Edge
from components.models.service import Service


def public_ports(edge: Edge, services: Iterable[Service]) -> tuple[int, ...]:
    """Return the TCP ports on which clients, or whoever reads the stats, come in; sorted."""
    ports = {edge.port, *(each.tcp.port for each in services if each.tcp is not None)}
    if edge.tls is not None:
        ports.add(edge.tls.port)
    if not ipaddress.ip_address(edge.stats.bind).is_loopback:
        ports.add(edge.stats.port)
    return tuple(sorted(ports))
