"""The domains that the edge needs certificates for."""

from collections.abc import Iterable
from typing import Protocol


class _Served(Protocol):
    @property
    def hosts(self) -> tuple[str, ...]: ...


def domains(served: Iterable[_Served]) -> tuple[str, ...]:
    """Return the domains of services or of their pools, each once; wildcards as they are."""
    return tuple(dict.fromkeys(host for each in served for host in each.hosts))
