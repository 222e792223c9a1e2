"""The map from a request to its service, which templates/frontend.j2 looks up.

HAProxy keeps the map as a prefix tree, and takes the longest key that a request's domain, path and
a slash begin with. So a request costs the same with any number of services, and the order of the
lines does not matter.
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
