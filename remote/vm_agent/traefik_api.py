"""The API of each Traefik on the VM, which only the agent may ask."""

import base64
import contextlib
import http.client
import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from remote.names import TRAEFIK_LABEL
from remote.vm_agent import docker
from remote.vm_agent.container import Container
from remote.vm_agent.kept import write

API_USER = "agent"


def traefiks() -> list[Container]:
    """Return the Traefiks that run here: two while one takes over from the other."""
    found = [docker.find(each["Id"]) for each in docker.listed(TRAEFIK_LABEL)]
    return [each for each in found if each is not None and each.running and each.is_traefik]


def known_servers(
    traefik: Container, container: Container, login: Mapping[str, str]
) -> list[dict[str, Any]] | None:
    """Return the addresses to which a Traefik sends a service's requests; None if it is silent."""
    port = int(traefik.labels[TRAEFIK_LABEL])
    connection = http.client.HTTPConnection(traefik.address, port, timeout=5)
    try:
        connection.request(
            "GET",
            f"/api/{container.kind}/services/{container.service}@docker",
            headers=dict(login),
        )
        answer = connection.getresponse()
        body = answer.read()
        known = json.loads(body) if answer.status == 200 else {}
        servers = (known.get("loadBalancer") or {}).get("servers") or []
        return [each for each in servers if isinstance(each, dict)]
    except (OSError, http.client.HTTPException, ValueError, AttributeError, TypeError):
        return None
    finally:
        connection.close()


def sends(container: Container, asked: Sequence[Container], login: Mapping[str, str]) -> list[bool]:
    """Return for each Traefik that answers whether it sends requests to the container."""
    return [
        container.at in [server.get("url") or server.get("address") for server in servers]
        for servers in (known_servers(each, container, login) for each in asked)
        if servers is not None
    ]


def login(folder: Path) -> Mapping[str, str]:
    """Return the Authorization header for Traefik's API."""
    given = base64.b64encode(f"{API_USER}:{token(folder)}".encode()).decode()
    return {"Authorization": f"Basic {given}"}


def token(folder: Path) -> str:
    """Return the password of the API, which is made when there is none."""
    file = folder / "token"
    with contextlib.suppress(OSError, ValueError):
        if found := file.read_text():
            return found
    with contextlib.suppress(OSError):
        file.rmdir()  # a folder would be in the way
    write(file, secrets.token_urlsafe(32), mode=0o600)
    return file.read_text()
