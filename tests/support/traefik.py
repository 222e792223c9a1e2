"""The real Traefik with a fake Docker, which lists containers that do not exist.

Its Docker provider reads the labels as it does on a VM, and its API shows the resulting
configuration. Nothing answers at the containers' address, and no request leaves this machine.
"""

import json
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from components.host import traefik
from lab.loopback.docker import DockerApi
from lab.loopback.ports import free_ports
from lab.loopback.vm import BINARY
from remote.vm_agent import (
    traefik_api,
    traefik_files,
)

_NETWORK = "fuzz"
_NOWHERE = "255.255.255.255"  # Linux refuses to connect to it, at once
_SECONDS = 60.0
_KINDS = ("routers", "services", "middlewares", "tcpRouters", "tcpServices")


def understood(containers: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, Any]]:
    """Return the routers, services and middlewares that Traefik makes of containers' labels.

    Those of TCP are ``tcpRouters`` and ``tcpServices``.

    Args:
        containers: Labels by the container's name.
    """
    with _docker(containers, _NOWHERE) as docker, _traefik(docker, ("127.0.0.1",)) as started:
        return _told(started.api)


@dataclass(frozen=True)
class Started:
    """A Traefik that runs."""

    web: str
    """``address:port`` of its entrypoint."""
    api: urllib.request.Request
    """A request for its configuration, as the agent would send it."""
    log: Path
    """The file of its output."""


@contextmanager
def serving(
    containers: Mapping[str, Mapping[str, str]], address: str, edge: Sequence[str]
) -> Iterator[Started]:
    """Have Traefik serve containers by their labels.

    Args:
        containers: Labels by the container's name.
        address: What listens in their place.
        edge: Whom it is to trust.
    """
    with _docker(containers, address) as docker, _traefik(docker, edge) as started:
        _told(started.api)
        yield started


@contextmanager
def _docker(containers: Mapping[str, Mapping[str, str]], address: str) -> Iterator[str]:
    class Api(DockerApi):
        def told(self, path: str) -> Any:
            return _answer(path, containers, address)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"tcp://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(path: str, containers: Mapping[str, Mapping[str, str]], address: str) -> Any:
    match path.strip("/").split("/"):
        case ["version"]:
            return {"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12"}
        case ["containers", "json"]:
            return [{"Id": name, "Names": [f"/{name}"]} for name in containers]
        case ["containers", name, "json"]:
            return {
                "Id": name,
                "Name": f"/{name}",
                "State": {"Running": True, "Status": "running"},
                "HostConfig": {"NetworkMode": _NETWORK},
                "Config": {"Labels": dict(containers[name])},
                "NetworkSettings": {"Networks": {_NETWORK: {"IPAddress": address}}, "Ports": {}},
            }
        case _:
            return {}


@contextmanager
def _traefik(docker: str, edge: Sequence[str]) -> Iterator[Started]:
    web, api = (f"127.0.0.1:{port}" for port in free_ports(2))
    with tempfile.TemporaryDirectory() as agents:
        folder = f"{agents}/traefik"
        Path(folder).mkdir()
        traefik_files.write_files(Path(agents))
        flags = [
            flag.replace(f"=:{traefik.API_PORT}", f"={api}")
            .replace(f"=:{traefik.ENTRYPOINT_PORT}", f"={web}")
            .replace(traefik.AGENT_FOLDER, folder)
            for flag in traefik.command(_NETWORK, edge)
        ]
        own = (f"--providers.docker.endpoint={docker}", "--providers.docker.watch=false")
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                (str(BINARY), *flags, *own),
                env=dict(
                    each.replace(traefik.AGENT_FOLDER, folder).split("=")
                    for each in traefik.environment(edge)
                ),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        asked = urllib.request.Request(
            f"http://{api}/api/rawdata", headers=dict(traefik_api.login(Path(agents)))
        )
        try:
            yield Started(web=web, api=asked, log=log)
        finally:
            process.kill()
            process.wait()


def _told(api: urllib.request.Request) -> dict[str, dict[str, Any]]:
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            with urllib.request.urlopen(api, timeout=10) as answer:  # noqa: S310 - ours
                raw = json.load(answer)
        except (urllib.error.URLError, OSError):
            raw = {}
        told = {kind: _of_docker(raw.get(kind) or {}) for kind in _KINDS}
        if told["services"]:
            return told
        if time.monotonic() > deadline:
            raise TimeoutError(f"Traefik knows no container after {_SECONDS:.0f} s, only {raw}")
        time.sleep(0.1)


def _of_docker(things: Mapping[str, Any]) -> dict[str, Any]:
    ending = "@docker"
    return {
        name.removesuffix(ending): each for name, each in things.items() if name.endswith(ending)
    }
