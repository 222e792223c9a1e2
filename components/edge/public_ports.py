"""The edge's ports: where clients come in."""

import ipaddress
from collections.abc import Iterable

from components.config.models.edge import Edge
from components.config.models.service import Service


def http_ports(edge: Edge) -> dict[str, int]:
    """Return where clients of HTTP come in, by the keys that say so."""
    return {"edge.port": edge.port} | ({"edge.tls.port": edge.tls.port} if edge.tls else {})


def public_ports(edge: Edge, services: Iterable[Service]) -> tuple[int, ...]:
    """Return the TCP ports on which clients, or whoever reads the stats, come in; sorted.

    The firewall of an edge that is a VM has to let everybody in there.
    """
    ports = {each.tcp.port for each in services if each.tcp is not None}
    ports.update(http_ports(edge).values())
    if not ipaddress.ip_address(edge.stats.bind).is_loopback:
        ports.add(edge.stats.port)
    return tuple(sorted(ports))
