"""The labels by which Traefik forwards TCP connections other than HTTP.

The edge sends them to the same entrypoint as HTTP, in TLS. Traefik routes by the name in the first
message (SNI), so no service needs a port of the VM. Traefik answers that message only once a
container has taken the connection; if none does, the edge tries another VM.
"""

from components.config.models.service import Service, Tcp
from components.service.edge_check import check_labels
from remote.names import PASSED_ON, PASSED_ON_WITH_ADDRESS


def tcp_labels(name: str, known_as: str, service: Service, tcp: Tcp) -> dict[str, str]:
    """Return the labels of a TCP service's containers.

    Args:
        name: The service's name in Traefik.
        known_as: The server name (SNI) that the edge sends.
        service: The service's config.
        tcp: Its key `tcp`.
    """
    balancer = f"traefik.tcp.services.{name}.loadbalancer"
    router = f"traefik.tcp.routers.{name}"
    labels = {
        "traefik.enable": "true",
        f"{router}.entrypoints": "web",
        f"{router}.rule": f"HostSNI(`{known_as}`)",
        f"{router}.tls": "true",
        f"{router}.service": name,
        f"{balancer}.server.port": str(service.port),
        f"{balancer}.serverstransport": (
            PASSED_ON_WITH_ADDRESS if tcp.proxy_protocol else PASSED_ON
        ),
        **check_labels(name, known_as),
        # Nobody routes to it. Without one, Traefik would make one of the image's exposed port, and
        # leave out a container that has none.
        f"traefik.http.services.{name}_check.loadbalancer.server.port": str(service.port),
    }
    if service.health.command is None:  # Docker runs that check, and Traefik uses Docker's result
        labels |= {
            f"{balancer}.healthcheck.interval": f"{service.health.interval}s",
            f"{balancer}.healthcheck.timeout": f"{service.health.timeout}s",
        }
    return labels
