"""The labels by which Traefik finds a container, routes to it and checks it.

All containers of a service carry the same ones: that is how Traefik knows that they share its load.
"""

from collections.abc import Mapping

from components.config import Service

SLOT_LABEL = "gatehouse.slot"
"""Names the slot that a container fills; its own name is generated."""


def traefik_labels(name: str, service: Service) -> Mapping[str, str]:
    """Return Traefik's labels for the containers of the service called ``name``, sorted by key."""
    router = f"traefik.http.routers.{name}"
    balancer = f"traefik.http.services.{name}.loadbalancer"
    check = service.check
    labels = {
        "traefik.enable": "true",
        f"{router}.entrypoints": "web",
        f"{router}.rule": rule(service),
        # By default the longest rule wins, which many domains make long; the longest path must.
        f"{router}.priority": str(len(service.path)),
        f"{router}.service": name,
        f"{balancer}.server.port": str(service.port),
        f"{balancer}.healthcheck.path": check.path,
        f"{balancer}.healthcheck.hostname": service.hosts[0],
        f"{balancer}.healthcheck.interval": f"{check.interval}s",
        f"{balancer}.healthcheck.timeout": f"{check.timeout}s",
        f"{balancer}.healthcheck.followredirects": "false",
    }
    return dict(sorted(labels.items()))


def rule(service: Service) -> str:
    """Return Traefik's rule: any of the domains, and below the path if there is one.

    The path ``/shop`` means ``/shop`` and ``/shop/…`` but not ``/shopping``; Traefik's PathPrefix
    alone would mean that too.
    """
    hosts = " || ".join(f"Host(`{host}`)" for host in service.hosts)
    path = service.path.rstrip("/")
    if not path:
        return hosts
    return f"({hosts}) && (Path(`{path}`) || PathPrefix(`{path}/`))"
