"""The edge's backends: per service, the VMs that run it, with their addresses and weights."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from components.config.models.http import Http
from components.config.models.service import Service, check_name, tcp_name
from components.edge.replies import Reply, replies

# HAProxy's documented maximum of a server's weight.
_MAX_WEIGHT = 256

CHECK_TIMEOUT = 5
"""Time limit in seconds of a check, which a VM's Traefik answers itself."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """One VM in a backend."""

    name: str
    address: str
    """``host:port`` of the VM's entrypoint."""
    weight: int


@dataclass(frozen=True, kw_only=True)
class Backend:
    """An HTTP service at the edge: its requests, and its VMs."""

    name: str
    hosts: tuple[str, ...]
    path: str
    """Without a trailing slash; empty for the whole domain."""
    strip_path: bool = False
    """Whether the path is removed before Traefik and the containers see it."""
    check_host: str
    check_path: str
    check_timeout: int
    """Seconds."""
    servers: tuple[Server, ...]
    main_domain: str | None = None
    """Where the aliases redirect to."""
    http: Http = field(default_factory=Http)
    """Without the hashes of the users' passwords."""
    protected: bool = False
    """Whether it needs a password; its userlist has the service's name."""
    pages: Mapping[str, str] = field(default_factory=dict)
    """The texts of error pages, by status."""

    @property
    def retried(self) -> bool:
        """Whether a GET that fails with a 502, 503 or 504 can find another container.

        With one VM, sticky sessions send the client to the same container again.
        """
        if len(self.servers) > 1:
            return True
        return not self.http.sticky and sum(server.weight for server in self.servers) > 1

    @property
    def replies(self) -> tuple[Reply, ...]:
        """The edge's own answers, which replace HAProxy's texts."""
        return replies(self.name, self.http, self.pages)

    @property
    def summary(self) -> dict[str, Any]:
        """Its part of the program's outputs: the servers that get requests."""
        fields = asdict(self)
        return {key: fields[key] for key in ("name", "hosts", "path", "servers")}


@dataclass(frozen=True, kw_only=True)
class TcpBackend:
    """A TCP service: its port at the edge, and the VMs that run it."""

    name: str
    port: int
    known_as: str
    """Its name for Traefik, in connections and in checks."""
    check_path: ClassVar[str] = "/"
    idle_timeout: int
    """Seconds."""
    check_timeout: int
    """Seconds."""
    servers: tuple[Server, ...]

    @property
    def check_host(self) -> str:
        """The host name in the edge's health check."""
        return self.known_as

    @property
    def summary(self) -> dict[str, Any]:
        """Its part of the program's outputs: the servers that get connections."""
        fields = asdict(self)
        return {key: fields[key] for key in ("name", "port", "servers")}


def any_backend(
    name: str,
    service: Service,
    counts: Mapping[str, int],
    entrypoints: Mapping[str, str],
    pages: Mapping[str, str] | None = None,
) -> Backend | TcpBackend:
    """Return the backend of a service of either kind; the arguments are those of ``backend``."""
    if service.tcp is None:
        return backend(name, service, counts, entrypoints, pages)
    return TcpBackend(
        name=name,
        port=service.tcp.port,
        known_as=tcp_name(name),
        idle_timeout=service.tcp.idle_timeout,
        check_timeout=CHECK_TIMEOUT,
        servers=_servers(counts, entrypoints),
    )


def backend(
    name: str,
    service: Service,
    counts: Mapping[str, int],
    entrypoints: Mapping[str, str],
    pages: Mapping[str, str] | None = None,
) -> Backend:
    """Return the backend of a service that is HTTP.

    Args:
        name: The service's name.
        service: Its config.
        counts: How many of its containers each VM runs, for those that run any.
        entrypoints: ``host:port`` by VM; VMs that do not run the service are left out.
        pages: The texts of its error pages, by status.
    """
    return Backend(
        name=name,
        hosts=service.hosts,
        path=service.path.rstrip("/"),
        strip_path=service.strip_path,
        check_host=check_name(name),
        check_path="/",
        check_timeout=CHECK_TIMEOUT,
        servers=_servers(counts, entrypoints),
        main_domain=service.main_domain,
        http=service.http.model_copy(update={"basic_auth": {}}),
        protected=bool(service.http.basic_auth),
        pages=pages or {},
    )


def _servers(counts: Mapping[str, int], entrypoints: Mapping[str, str]) -> tuple[Server, ...]:
    weights = _weights(counts)
    return tuple(Server(name=vm, address=entrypoints[vm], weight=weights[vm]) for vm in counts)


def _weights(counts: Mapping[str, int]) -> Mapping[str, int]:
    largest = max(counts.values(), default=0)
    if largest <= _MAX_WEIGHT:
        return counts
    return {vm: max(1, count * _MAX_WEIGHT // largest) for vm, count in counts.items()}
