"""A client of Docker: its API on a socket, and its command line for logs."""

import contextlib
import http.client
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterable
from typing import Any

from remote.names import TRAEFIK_LABEL
from remote.printable import printable
from remote.vm_agent.container import SAID, Container, inspected, is_id

SOCKET = "/var/run/docker.sock"
DOCKER_SECONDS = 30.0
"""For one answer of Docker's."""
_LOG_LINES = "15"
_LOG_SECONDS = 30.0
_IMAGES: dict[str, dict[str, str]] = {}
"""The labels of images, by id."""
_MOST_IMAGES = 1000


class DockerError(OSError):
    """Docker cannot describe this container; it may describe others."""


class DockerConnection(http.client.HTTPConnection):
    """HTTP to Docker's socket."""

    def __init__(self, timeout: float | None = DOCKER_SECONDS) -> None:
        super().__init__("docker", timeout=timeout)

    def connect(self) -> None:
        """Connect to the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(SOCKET)


def ask(path: str, update: object = None, method: str = "GET") -> tuple[int, bytes]:
    """Return status and body of a request without a body, or of a POST of an update.

    Raises:
        OSError: Docker does not answer.
    """
    connection = DockerConnection()
    try:
        if update is None:
            connection.request(method, path)
        else:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", path, json.dumps(update), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()


def find(container: str) -> Container | None:
    """Return a container by its id, or None if there is none.

    Raises:
        OSError: Docker does not answer, or not with a container.
    """
    found = _one(container)
    if found is None or len(found.addresses) < 2:
        return found
    for each in listed(TRAEFIK_LABEL):
        traefik = _one(each["Id"])
        if traefik is not None and traefik.is_traefik:
            found = found.in_network_of(traefik)
    return found


def _one(container: str) -> Container | None:
    if not is_id(container):
        return None
    status, body = ask(f"/containers/{container}/json")
    if status == 404:
        return None
    with contextlib.suppress(ValueError, LookupError, TypeError, AttributeError):
        if status == 200:
            return inspected(body, _labels_of_image(json.loads(body).get("Image", "")))
    said = body[:SAID].decode(errors="replace")
    raise DockerError(f"it says {status} of {container[:12]}: {said}")


def _labels_of_image(image: str) -> dict[str, str]:
    """Return the labels of an image, which are a part of what its id is the digest of."""
    if not is_id(image):
        return {}
    if image not in _IMAGES:
        status, body = ask(f"/images/{image}/json")
        if status != 200:
            return {}
        config = json.loads(body).get("Config") or {}
        if len(_IMAGES) >= _MOST_IMAGES:
            _IMAGES.clear()
        _IMAGES[image] = config.get("Labels") or {}
    return _IMAGES[image]


def find_all(containers: Iterable[str], seconds: float = DOCKER_SECONDS) -> list[Container]:
    """Return the containers that exist, without those that Docker cannot describe in time.

    Docker is asked about all at once, because it may not answer about one that it starts or pauses.

    Raises:
        OSError: Docker does not answer, or about none in time.
    """
    answers: dict[str, Container | OSError | None] = {}

    def ask_about(container: str) -> None:
        try:
            answers[container] = find(container)
        except OSError as error:
            answers[container] = error

    asked = list(containers)
    threads = [threading.Thread(target=ask_about, args=(one,), daemon=True) for one in asked]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0))
    known = {one: answers.get(one, TimeoutError("timed out")) for one in asked}
    problems = {one: each for one, each in known.items() if isinstance(each, OSError)}
    late = [each for each in problems.values() if not isinstance(each, DockerError)]
    away = [each for each in late if not isinstance(each, TimeoutError)]
    if away or (late and len(problems) == len(known)):
        raise [*away, *late][0]
    for one, problem in problems.items():
        print(f"container {one[:12]} is left out: {problem}", flush=True)
    return [each for each in known.values() if isinstance(each, Container)]


def listed(label: str) -> list[dict[str, Any]]:
    """Return Docker's list of the running containers with a label.

    Raises:
        OSError: Docker does not answer, or not with a list.
    """
    return list_at(f'/containers/json?filters={{"label":["{label}"]}}')


def list_at(path: str) -> list[dict[str, Any]]:
    """Return a list of containers of Docker's.

    Raises:
        OSError: Docker does not answer, or not with a list.
    """
    status, body = ask(path)
    with contextlib.suppress(ValueError, RecursionError):
        told = json.loads(body) if status == 200 else None
        if isinstance(told, list) and all(_is_listed(each) for each in told):
            return told
    raise DockerError(f"it says {status}: {body[:SAID].decode(errors='replace')}")


def _is_listed(told: object) -> bool:
    found = told if isinstance(told, dict) else {}
    labels = found.get("Labels")
    created = isinstance(found.get("Created"), int | float)
    return is_id(found.get("Id")) and created and (labels is None or isinstance(labels, dict))


def last_lines(container: str) -> str:
    """Return the last lines of a container's log, below a heading."""
    try:
        logs = subprocess.run(
            ("docker", "logs", "--tail", _LOG_LINES, container),
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_LOG_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"\n  Its last log lines cannot be read: {error}"
    return f"\n  Its last log lines:\n{printable(logs.stdout)}"
