"""The API of each Traefik on the VM, which only the agent may ask."""

import base64
import contextlib
import http.client
import json
import secrets
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from remote.names import TRAEFIK_LABEL
from remote.vm_agent import docker
from remote.vm_agent.container import Container
from remote.vm_agent.kept import write

API_USER = "agent"
_ONE_TOKEN = threading.Lock()


def traefiks() -> list[Container]:
    """Return the Traefiks that run here: two while one takes over from the other."""
    found = [docker.find(each["Id"]) for each in docker.listed(TRAEFIK_LABEL)]
    return [each for each in found if each is not None and each.running and each.is_traefik]


def known_servers(
    traefik: Container, container: Container, login: Mapping[str, str]
) -> list[dict[str, Any]] | None:
    """Return the addresses to which a Traefik sends a service's requests.

    Returns:
        None if that is unknown: it is silent, refuses the password, or has not begun to work.
    """
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
        known = json.loads(body)
        if answer.status == 404 and "message" in known:  # its API's own; a router's is no JSON
            return []
        if answer.status != 200:
            return None
        servers = (known.get("loadBalancer") or {}).get("servers") or []
        return [each for each in servers if isinstance(each, dict)]
    except (OSError, http.client.HTTPException, ValueError, AttributeError, TypeError):
        return None
    finally:
        connection.close()


def sends(
    container: Container, asked: Sequence[Container], login: Mapping[str, str]
) -> list[bool | None]:
    """Return for each Traefik whether it sends requests to the container; None if unknown."""
    return [
        None
        if servers is None
        else container.at in [server.get("url") or server.get("address") for server in servers]
        for servers in (known_servers(each, container, login) for each in asked)
    ]


def sends_all(answers: Sequence[bool | None]) -> bool:
    """Whether every Traefik that answers sends requests, and one does if there are any."""
    return False not in answers and (not answers or True in answers)


def sends_none(answers: Sequence[bool | None]) -> bool:
    """Whether every Traefik that answers sends no requests, and one does if there are any."""
    return True not in answers and (not answers or False in answers)


def login(folder: Path) -> Mapping[str, str]:
    """Return the Authorization header for Traefik's API; empty while there can be no password."""
    try:
        password = token(folder)
    except OSError as error:
        print(f"Traefik's API cannot be asked: {error}", flush=True)
        return {}
    given = base64.b64encode(f"{API_USER}:{password}".encode()).decode()
    return {"Authorization": f"Basic {given}"}


def token(folder: Path) -> str:
    """Return the password of the API, which is made when there is none.

    Raises:
        OSError: It cannot be written.
    """
    file = folder / "token"
    with _ONE_TOKEN:
        with contextlib.suppress(OSError, ValueError):
            if found := file.read_text():
                return found
        made = secrets.token_urlsafe(32)
        write(file, made, mode=0o600)
        return made
