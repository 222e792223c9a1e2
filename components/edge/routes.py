"""Which service a request is for: the lines of HAProxy's map, which templates/frontend.j2 asks.

HAProxy keeps the map as a prefix tree, and takes the longest key that a request's domain, path and
a slash begin with. So a request costs the same with any number of services, and no order is to be
kept.
"""

from collections.abc import Iterable

from components.edge.backends import Backend

MAP = "routes.map"
"""Below the edge's ``files``."""
ALIAS = "_alias_"
"""Before a service's name: the backend that redirects its aliases."""


def routes(backends: Iterable[Backend]) -> tuple[str, ...]:
    """Return the lines of the map, sorted: a domain or a wildcard with a path, and a backend.

    Each key ends with a slash: so does ``shop.example.org/api/``, which is not the beginning of
    ``shop.example.org/apix/``.
    """
    found: dict[str, str] = {}
    for backend in backends:
        found |= {f"{host}{backend.path}/": backend.name for host in backend.hosts}
        found |= {f"{alias}/": f"{ALIAS}{backend.name}" for alias in backend.http.aliases}
    return tuple(f"{key} {backend}" for key, backend in sorted(found.items()))
