"""How Traefik is started on each VM: its flags and its ports, as plain values.

It finds containers by Docker's labels alone. Its dashboard and API stay off, and its ping is on an
entrypoint of its own that is not published, so that it takes no path away from any service.
"""

IMAGE = "traefik:v3.7.15"
"""Pinned; 3.6.16 is the oldest that speaks Docker API 1.40 and up."""

ENTRYPOINT_PORT = 80
"""The one port that a VM publishes, to the edge."""

PING_PORT = 8082


def command(network: str) -> tuple[str, ...]:
    """Return Traefik's flags, with containers reached over the Docker network ``network``."""
    return (
        f"--entrypoints.web.address=:{ENTRYPOINT_PORT}",
        f"--entrypoints.ping.address=:{PING_PORT}",
        "--ping.entrypoint=ping",
        "--providers.docker=true",
        "--providers.docker.exposedbydefault=false",
        f"--providers.docker.network={network}",
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
        "--log.level=INFO",
    )
