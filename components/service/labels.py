"""The labels by which Traefik finds a container, routes to it and checks it.

All containers of a service carry the same ones: that is how Traefik knows that they share its load.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence

from components.models.http import container_cookie
from components.models.service import Service, tcp_name
from components.service.tcp import tcp_labels

SLOT_LABEL = "gatehouse.slot"
"""Names the slot that a container fills; its own name is generated."""

_EXACT_FIRST = 10_000
"""Added to the priority of a router for whole domains; longer than any path can be."""


_ATTEMPTS = 4
"""So that a request that could not be sent goes to another container, more than once if need be;
Traefik repeats none of which it has sent anything."""


def traefik_labels(name: str, service: Service) -> Mapping[str, str]:
    """Return Traefik's labels for the containers of the service called ``name``, sorted by key."""
    return dict(sorted(_labels(traefik_name(name, service), name, service).items()))


def traefik_name(name: str, service: Service) -> str:
    """Return what Traefik is to call the service: its name and a digest of its labels.

    Traefik drops a router or a service that two containers describe differently, and while a change
    goes on, the old and the new containers do; by this they are two services, and the old one ends
    with its last container.
    """
    described = json.dumps(_labels(name, name, service), sort_keys=True)
    return f"{name}-{hashlib.sha256(described.encode()).hexdigest()[:8]}"


def _labels(known_as: str, plain_name: str, service: Service) -> dict[str, str]:
    if service.tcp is None:
        return _http(known_as, plain_name, service)
    return tcp_labels(known_as, tcp_name(plain_name), service, service.tcp)


def _http(name: str, plain_name: str, service: Service) -> dict[str, str]:
    balancer = f"traefik.http.services.{name}.loadbalancer"
    middleware = "traefik.http.middlewares"
    labels = {
        "traefik.enable": "true",
        f"{balancer}.server.port": str(service.port),
        f"{middleware}.{name}_retry.retry.attempts": str(_ATTEMPTS),
        f"{middleware}.{name}_retry.retry.initialinterval": "50ms",
    }
    if not service.asked_as_grpc:
        labels |= {
            f"{balancer}.healthcheck.path": service.container_check_path,
            f"{balancer}.healthcheck.hostname": service.example_host,
            f"{balancer}.healthcheck.interval": f"{service.health.interval}s",
            f"{balancer}.healthcheck.timeout": f"{service.health.timeout}s",
            f"{balancer}.healthcheck.followredirects": "false",
        }
    if service.http.protocol != "http":
        labels[f"{balancer}.server.scheme"] = service.http.protocol
    if service.http.balance == "leastconn":
        labels[f"{balancer}.strategy"] = "p2c"  # of two at random, the one with fewer in flight
    if service.http.sticky:
        labels |= {
            # Of one name always, so that another digest sends nobody to another container. It is
            # made secure at the edge, which knows whether there is TLS.
            f"{balancer}.sticky.cookie.name": container_cookie(plain_name),
            f"{balancer}.sticky.cookie.httponly": "true",
            f"{balancer}.sticky.cookie.samesite": "lax",
        }
    path = service.path.rstrip("/")
    chain = [f"{name}_retry"]
    if service.strip_path:
        labels[f"{middleware}.{name}_strip.stripprefix.prefixes"] = path
        chain.append(f"{name}_strip")
    exact = [host for host in service.hosts if not host.startswith("*.")]
    wild = [host for host in service.hosts if host.startswith("*.")]
    # An underscore, because no service can have one in its name.
    for router, hosts, first in ((name, exact, _EXACT_FIRST), (f"{name}_wildcard", wild, 0)):
        if hosts:
            labels |= {
                f"traefik.http.routers.{router}.entrypoints": "web",
                f"traefik.http.routers.{router}.rule": rule(hosts, path),
                # By default the longest rule wins, which many domains make long; the order has to
                # be the edge's: domains before wildcards, then the longest path.
                f"traefik.http.routers.{router}.priority": str(first + len(path) + 1),
                f"traefik.http.routers.{router}.service": name,
                f"traefik.http.routers.{router}.middlewares": ",".join(chain),
            }
    return labels


def rule(hosts: Sequence[str], path: str) -> str:
    """Return Traefik's rule: any of the domains, and below the path if there is one.

    The path ``/shop`` means ``/shop`` and ``/shop/…`` but not ``/shopping``; Traefik's PathPrefix
    alone would mean that too.
    """
    named = " || ".join(_host_rule(host) for host in hosts)
    if not path:
        return named
    return f"({named}) && (Path(`{path}`) || PathPrefix(`{path}/`))"


def _host_rule(host: str) -> str:
    if not host.startswith("*."):
        return f"Host(`{host}`)"
    return f"HostRegexp(`^[a-z0-9-]+{re.escape(host[1:])}$`)"
