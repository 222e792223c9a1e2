"""Traefik's flags and ports on each VM, as plain values.

It finds containers by Docker's labels, among those that the agent shows it. Its dashboard stays
off. Its ping and API are on a separate entrypoint that is not published, so that they take no path
from any service, and only the agent may use the API. Its metrics are on the services' entrypoint,
under a domain that no service can have, and only for the edge.
"""

import hashlib
from collections.abc import Sequence

IMAGE = "traefik:v3.7.15"
"""Pinned. 3.6.16 is the oldest version that works with Docker's API 1.40 and newer."""

API_PORT = 8082
"""The port of its ping and its API, which is not published; the agent reads its servers there."""

AGENT_FOLDER = "/run/gatehouse"
"""The path of the agent's folder in Traefik's container."""

_FIRST_PUBLISHED_PORT, _PUBLISHED_PORTS = 8000, 1000

PUBLISHED_PORTS = f"{_FIRST_PUBLISHED_PORT}-{_FIRST_PUBLISHED_PORT + _PUBLISHED_PORTS - 1}"
"""Traefik's ports on the VM. While one Traefik replaces another, each has its own."""

ENTRYPOINT_PORT = 8000
"""The port in the container, where no program may use one below 1024."""

USER = "65532:65532"
"""Traefik's UID and GID, which have no account on the VM."""

CPU_SHARES = 41_923
"""Four times the weight of a serving container: Docker turns it into a weight of 1600, and the
default is 100."""

SERVICE_HEADER = "X-Gatehouse-Service"
"""The header by which the edge names the service that a request is for. Every router of a service
demands it, and the edge drops it from clients' requests."""

ENCODED_PERCENT = "%25%FF"
"""The edge's replacement for a percent sign of a path that Traefik would rewrite. It occurs in no
text, because UTF-8 has no byte FF."""

METRICS_HOST = "_metrics"
"""With the path ``/metrics``."""

EDGE_VARIABLE, FOLDER_VARIABLE = "GATEHOUSE_EDGE", "GATEHOUSE_FOLDER"
"""Variables for Traefik's file of rules: the edge's addresses, and the folder of its files."""

_LOGGED = (
    *("StartUTC", "RequestMethod", "RequestHost", "RequestPath", "DownstreamStatus"),
    *("DownstreamContentSize", "Duration", "OriginStatus", "OriginDuration", "RetryAttempts"),
    *("RouterName", "ServiceAddr"),
)
"""Fields of the access log; the edge's log has the client."""

STOP_GRACE = 30
"""Seconds for requests in flight when Traefik itself is replaced."""


def command(network: str, edge: Sequence[str]) -> tuple[str, ...]:
    """Return Traefik's flags.

    Args:
        network: The Docker network over which containers are reached.
        edge: The addresses from which the edge's requests come.
    """
    return (
        f"--entrypoints.web.address=:{ENTRYPOINT_PORT}",
        # The edge's X-Forwarded-For names the client only, so Traefik keeps it.
        f"--entrypoints.web.forwardedheaders.trustedips={','.join(edge)}",
        "--entrypoints.web.forwardedheaders.notappendxforwardedfor=true",
        # The same for the edge's PROXY protocol, which only TCP services' connections have.
        f"--entrypoints.web.proxyprotocol.trustedips={','.join(edge)}",
        f"--entrypoints.web.transport.lifecycle.gracetimeout={STOP_GRACE}s",
        # Paths and queries arrive as they were sent, except `;` in a query, which Traefik would
        # turn into `&`: it arrives as `%3B`, which means the same. docs/adr/0017 has the rest.
        "--entrypoints.web.http.sanitizepath=false",
        "--entrypoints.web.http.encodequerysemicolons=true",
        # 60 s by default, after which it cuts long uploads and streams; the edge has time limits.
        "--entrypoints.web.transport.respondingtimeouts.readtimeout=0s",
        f"--entrypoints.traefik.address=:{API_PORT}",
        "--ping=true",
        "--api=true",
        "--api.dashboard=false",
        "--providers.docker=true",
        f"--providers.docker.endpoint=unix://{AGENT_FOLDER}/docker.sock",
        "--providers.docker.exposedbydefault=false",
        f"--providers.file.filename={AGENT_FOLDER}/nowhere.yml",
        f"--providers.docker.network={network}",
        # 2 s by default, in which requests would go to a container that has died.
        "--providers.providersthrottleduration=100ms",
        # 30 s by default; a container that is gone leaves an address that never answers.
        "--serverstransport.forwardingtimeouts.dialtimeout=1s",
        # So short that no application ends an idle connection first, at which a request that is not
        # safe to repeat would be lost; and so that an open connection means a request in flight.
        "--serverstransport.forwardingtimeouts.idleconntimeout=1s",
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
        "--log.level=INFO",
        "--accesslog=true",
        "--accesslog.format=json",
        # Asynchronously, so that no request waits; Traefik writes the rest when it ends.
        "--accesslog.bufferingsize=1000",
        "--accesslog.fields.defaultmode=drop",
        *(f"--accesslog.fields.names.{name}=keep" for name in _LOGGED),
        "--accesslog.fields.headers.names.X-Request-Id=keep",
        "--metrics.prometheus=true",
        "--metrics.prometheus.manualrouting=true",
        # The entrypoint's metrics are only the sum of all services'.
        "--metrics.prometheus.addentrypointslabels=false",
    )


def environment(edge: Sequence[str]) -> tuple[str, ...]:
    """Return Traefik's environment, as ``NAME=value``; ``edge`` as in ``command``."""
    return (f"{EDGE_VARIABLE}={','.join(edge)}", f"{FOLDER_VARIABLE}={AGENT_FOLDER}")


def published_port(edge: Sequence[str]) -> int:
    """Return the VM's port for Traefik, which differs whenever its flags differ.

    Two Traefiks cannot publish the same port, and the old one has to serve until the new one does.
    The port is computed, so that a preview shows it.
    """
    started_as = "\n".join((IMAGE, AGENT_FOLDER, *command("", edge)))
    digest = int(hashlib.sha256(started_as.encode()).hexdigest(), 16)
    return _FIRST_PUBLISHED_PORT + digest % _PUBLISHED_PORTS
