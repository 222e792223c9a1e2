"""The facts for the edge agent, from the values that haproxy.cfg is rendered from."""

from collections.abc import Iterable

from components.config.models.edge import Edge
from components.edge import tls
from components.edge.backends import Backend, TcpBackend
from components.edge.domains import domains
from remote.edge_agent.checks import Check
from remote.edge_agent.facts import Facts, Listener

STATISTICS = "_stats"
"""The name of the frontend for statistics."""


def tcp_frontend(backend: TcpBackend) -> str:
    """Return the name of the frontend for a TCP service's port."""
    return f"tcp.{backend.name}"


def listeners(edge: Edge, backends: Iterable[TcpBackend]) -> dict[str, Listener]:
    """Return HAProxy's listeners, except its own sockets, by the name of the frontend."""
    found = {"http": Listener(edge.bind, "edge.bind", edge.port, "edge.port")}
    if edge.tls is not None:
        found["https"] = Listener(edge.bind, "edge.bind", edge.tls.port, "edge.tls.port")
    found[STATISTICS] = Listener(
        edge.stats.bind, "edge.stats.bind", edge.stats.port, "edge.stats.port"
    )
    for each in backends:
        key = f"services.{each.name}.tcp.port"
        found[tcp_frontend(each)] = Listener(edge.bind, "edge.bind", each.port, key)
    return found


def facts(
    backends: Iterable[Backend | TcpBackend],
    edge: Edge,
    listening: Iterable[Listener],
    users: str = "",
) -> Facts:
    """Return the facts.

    Args:
        backends: In the order of the config.
        edge: The edge's config.
        listening: Where HAProxy listens.
        users: The digest of the userlists; empty if there are none.
    """
    given = tuple(backends)
    names = domains(each for each in given if isinstance(each, Backend))
    return Facts(
        listeners=tuple(listening),
        checks=frozenset(
            Check(each.name, server.name, server.address, each.check_host, each.check_path)
            for each in given
            for server in each.servers
        ),
        certificates=None if edge.tls is None else tls.spec(edge.tls, names),
        users=users or None,
        max_connections=edge.max_connections,
    )
