"""The edge's ports for clients."""

import ipaddress
from collections.abc import Iterable

from components.config.models.edge import Edge
from components.config.models.service import Service


def http_ports(edge: Edge) -> dict[str, int]:
    """Return the ports for HTTP clients, by their keys."""
    return {"edge.port": edge.port} | ({"edge.tls.port": edge.tls.port} if edge.tls else {})


def public_ports(edge: Edge, services: Iterable[Service]) -> tuple[int, ...]:
    """Return the sorted TCP ports for clients and for readers of the statistics.

    The firewall of an edge VM opens them to everyone.
    """
    ports = {each.tcp.port for each in services if each.tcp is not None}
    ports.update(http_ports(edge).values())
    if not ipaddress.ip_address(edge.stats.bind).is_loopback:
        ports.add(edge.stats.port)
    return tuple(sorted(ports))
