"""What the edge asks a VM every second, in place of the application.

Traefik answers it itself, and only while the agent shows it a container of the service: one that
has joined, runs and passes its check.
"""


def check_labels(name: str, known_as: str) -> dict[str, str]:
    """Return the labels of the router that answers.

    Args:
        name: What Traefik is to call the service.
        known_as: What the edge asks for. No domain is like it, so the edge sends no client there.
    """
    router = f"traefik.http.routers.{name}_check"
    return {
        f"{router}.entrypoints": "web",
        f"{router}.rule": f"Host(`{known_as}`)",
        f"{router}.service": "ping@internal",
        f"{router}.middlewares": "edge@file",
    }
