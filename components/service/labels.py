"""The labels by which Traefik finds a container, routes to it and checks it.

All containers of a service carry the same labels: so Traefik knows that they share its load.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence

from components.config.models.http import container_cookie
from components.config.models.service import Service, check_name, tcp_name
from components.host.traefik import ENCODED_PERCENT, SERVICE_HEADER
from components.service.edge_check import check_labels
from components.service.tcp_labels import tcp_labels
from remote.names import INTERVAL_LABEL

_PRIORITY = 20_000
"""The priority of every service's router. No two routers take the same request, as each demands its
own service in a header. It is above 11,025, the highest in version 0.1, whose containers may still
run beside new ones."""


_ATTEMPTS = 4
"""How often Traefik tries other containers if it cannot connect to one. It does not repeat a
request of which it has sent anything."""


def traefik_labels(name: str, service: Service) -> Mapping[str, str]:
    """Return Traefik's labels for the containers of the service called ``name``, sorted by key."""
    return dict(sorted(_labels(traefik_name(name, service), name, service).items()))


def traefik_name(name: str, service: Service) -> str:
    """Return the service's name in Traefik: its own name and a digest of its labels.

    Traefik drops a router or a service that two containers describe differently, as old and new
    containers do during a change. With different names they are two services, and the old one ends
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
        **check_labels(name, check_name(plain_name)),
    }
    if service.asked_as_grpc:
        labels[INTERVAL_LABEL] = f"{service.health.interval}s"
    else:
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
            # The name is fixed, so that a new digest sends no client to another container. It is
            # made secure at the edge, which knows whether there is TLS.
            f"{balancer}.sticky.cookie.name": container_cookie(plain_name),
            f"{balancer}.sticky.cookie.httponly": "true",
            f"{balancer}.sticky.cookie.samesite": "lax",
        }
    # An underscore, because no service can have one in its name.
    decode = f"{name}_decode"
    labels |= {
        f"{middleware}.{decode}.replacepathregex.regex": ENCODED_PERCENT,
        f"{middleware}.{decode}.replacepathregex.replacement": "%",
        f"traefik.http.routers.{name}.entrypoints": "web",
        f"traefik.http.routers.{name}.rule": rule(
            plain_name, service.hosts, "" if service.strip_path else service.path.rstrip("/")
        ),
        f"traefik.http.routers.{name}.priority": str(_PRIORITY),
        f"traefik.http.routers.{name}.service": name,
        f"traefik.http.routers.{name}.middlewares": f"{decode},{name}_retry",
    }
    return labels


def rule(service: str, hosts: Sequence[str], path: str) -> str:
    """Return Traefik's rule: the service that the edge has chosen, its domains, and its path.

    The path ``/shop`` means ``/shop`` and ``/shop/…`` but not ``/shopping``; Traefik's PathPrefix
    alone would mean that too.

    Args:
        service: The name in the edge's header, which alone decides.
        hosts: The domains.
        path: Without a trailing slash; empty where Traefik does not see it.
    """
    terms = [" || ".join(map(_host_rule, hosts))]
    if path:
        terms.append(f"Path(`{path}`) || PathPrefix(`{path}/`)")
    terms = [f"({term})" if " || " in term else term for term in terms]
    return " && ".join((*terms, f"Header(`{SERVICE_HEADER}`, `{service}`)"))


def _host_rule(host: str) -> str:
    if not host.startswith("*."):
        return f"Host(`{host}`)"
    return f"HostRegexp(`^[^.]+{re.escape(host[1:])}[.]?$`)"
