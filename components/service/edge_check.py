"""The edge's health check of a VM, instead of one of the application.

Traefik itself answers it, and only while the agent shows it a container of the service: one that
has joined, runs and passes its check.
"""


def check_labels(name: str, known_as: str) -> dict[str, str]:
    """Return the labels of the router that answers the check.

    Args:
        name: The service's name in Traefik.
        known_as: The ``Host`` of the check. It is not a valid domain, so no client can use it.
    """
    router = f"traefik.http.routers.{name}_check"
    return {
        f"{router}.entrypoints": "web",
        f"{router}.rule": f"Host(`{known_as}`)",
        f"{router}.service": "ping@internal",
        f"{router}.middlewares": "edge@file",
    }
