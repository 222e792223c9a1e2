"""The domains that the edge needs certificates for."""

from collections.abc import Iterable
from typing import Protocol

from components.config.models.http import Http


class _Served(Protocol):
    @property
    def hosts(self) -> tuple[str, ...]: ...

    @property
    def http(self) -> Http: ...


def domains(served: Iterable[_Served]) -> tuple[str, ...]:
    """Return the domains of services or of their backends, each once; wildcards as they are.

    Aliases are among them: a client needs a valid certificate before it can be redirected.
    """
    return tuple(
        dict.fromkeys(domain for each in served for domain in (*each.hosts, *each.http.aliases))
    )
