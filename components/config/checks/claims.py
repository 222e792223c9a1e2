"""Which service a domain belongs to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from components.config.checks.text import twice
from components.config.models.service import Service

_Services = Mapping[str, Service]


@dataclass
class _Owners:
    """The services that serve a path on the domains one level below a domain: two at most."""

    hosts: dict[str, str] = field(default_factory=dict)
    """A domain of each owner."""

    def add(self, owner: str, host: str) -> None:
        if len(self.hosts) < 2:
            self.hosts.setdefault(owner, host)

    def other_than(self, name: str) -> tuple[str, str] | None:
        """Return a service other than ``name`` that has the path, and its domain."""
        return next((each for each in self.hosts.items() if each[0] != name), None)


def claims(services: _Services) -> Iterable[str]:
    """Yield domains and paths that two services claim, or that one service hides from another."""
    claimed: dict[tuple[str, str], str] = {}
    for name, service in services.items():
        yield from twice(f"services.{name}.hosts", service.hosts)
        for index, host in enumerate(service.hosts):
            owner = claimed.setdefault((host, service.path.rstrip("/")), name)
            if owner != name:
                yield (
                    f"services.{name}.hosts.{index}: is claimed by services.{owner} with the same"
                    f" path {service.path}; change one of them (got {host})"
                )
    yield from _shadows(claimed)
    yield from _aliases(services)


def _shadows(claimed: Mapping[tuple[str, str], str]) -> Iterable[str]:
    """Yield the wildcards that get no request, because another service's domain takes them all.

    A domain wins over a wildcard whatever their paths. One example for each wildcard is enough.
    """
    below: dict[tuple[str, str], _Owners] = {}
    for (host, path), owner in claimed.items():
        if not host.startswith("*."):
            parent = host.partition(".")[2]
            below.setdefault((parent, path), _Owners()).add(owner, host)
    for (wild, path), name in claimed.items():
        if not wild.startswith("*."):
            continue
        for shorter in _prefixes(path):
            found = below.get((wild[2:], shorter), _Owners()).other_than(name)
            if found is not None:
                other, host = found
                yield (
                    f"services.{name}.path: is shadowed by services.{other}, which takes all of"
                    f" {shorter or '/'} on {host}, and a domain wins over {wild} (got {path})"
                )
                break


def _prefixes(path: str) -> Iterable[str]:
    """Yield ``path``'s parents, the longest first; the root is an empty text."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _aliases(services: _Services) -> Iterable[str]:
    served: dict[str, str] = {}
    redirected: dict[str, dict[str, None]] = {}
    for name, service in services.items():
        for host in service.hosts:
            served.setdefault(host, name)
        for alias in service.http.aliases:
            redirected.setdefault(alias, {})[name] = None
    for name, service in services.items():
        path, aliases = f"services.{name}.http.aliases", service.http.aliases
        yield from twice(path, aliases)
        if aliases and service.main_domain is None:
            yield (
                f"{path}: redirect to a domain without `*`, and services.{name}.hosts has none;"
                f" add one (got {aliases[0]})"
            )
        for index, alias in enumerate(aliases):
            if alias in served:
                yield (
                    f"{path}.{index}: is served by services.{served[alias]}, and an alias only"
                    f" redirects (got {alias})"
                )
            other = next((each for each in redirected[alias] if each != name), None)
            if other is not None:
                yield f"{path}.{index}: is an alias of services.{other} too (got {alias})"
