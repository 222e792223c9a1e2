"""The map from a request to its service, which templates/frontend.j2 looks up.

HAProxy keeps the map as a prefix tree. It looks up a request's domain, path and a slash, and takes
the longest key that is a prefix of them. So a request costs the same with any number of services,
and the order of the lines does not matter.
"""

from collections.abc import Iterable

from components.edge.backends import Backend

MAP = "routes.map"
"""Below the edge's ``files``."""
ALIAS = "_alias_"
"""The prefix of a service's name that makes the name of the backend for its aliases."""


def routes(backends: Iterable[Backend]) -> tuple[str, ...]:
    """Return the lines of the map, sorted: a domain or a wildcard with a path, and a backend.

    Each key ends with a slash, so that ``shop.example.org/api/`` is not a prefix of
    ``shop.example.org/apix/``.
    """
    found: dict[str, str] = {}
    for backend in backends:
        found |= {f"{host}{backend.path}/": backend.name for host in backend.hosts}
        found |= {f"{alias}/": f"{ALIAS}{backend.name}" for alias in backend.http.aliases}
    return tuple(f"{key} {backend}" for key, backend in sorted(found.items()))
