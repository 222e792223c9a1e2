"""Both tiers on loopback: the keeper with the real HAProxy, and a real Traefik for each VM.

Containers are servers in threads, on addresses of their own; a Docker that is none tells Traefik of
them, with the labels that they would have.
"""

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import h2.connection
import h2.events

from components.config import parse
from components.edge.haproxy import render
from components.edge.keeper import timer, users
from components.edge.keeper.apply import apply
from components.edge.keeper.instance import Instance
from components.edge.keeper.system import poll
from components.edge.pages import read_page
from components.edge.pools import pool
from components.edge.users import userlists
from components.host import agent, traefik
from components.models.stack import Stack
from components.service.labels import traefik_labels, traefik_name
from tests.e2e.containers import HEALTH, Container
from tests.unit.traefik import BINARY, DockerApi, free_ports

_NETWORK = "apps"
_EDGE = ("127.0.0.1",)
_SECONDS = 30.0


class Vm:
    """A Traefik, and a Docker that is none."""

    def __init__(self, folder: Path) -> None:
        self._containers: dict[str, tuple[Container, Mapping[str, str]]] = {}
        self._changed = threading.Condition()
        self._changes = 0
        self._docker = ThreadingHTTPServer(("127.0.0.1", 0), self._api())
        self._docker.daemon_threads = True
        threading.Thread(target=self._docker.serve_forever, args=(0.05,), daemon=True).start()
        seen = folder / "traefik"
        seen.mkdir()
        agent.write_files(folder)
        self._login = agent.login(folder)
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
            for flag in traefik.command(_NETWORK, _EDGE)
        ]
        docker = f"tcp://127.0.0.1:{self._docker.server_port}"
        self._process = subprocess.Popen(
            (str(BINARY), *flags, f"--providers.docker.endpoint={docker}"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={
                **os.environ,
                **dict(
                    each.replace(traefik.AGENT_FOLDER, str(seen)).split("=", 1)
                    for each in traefik.environment(_EDGE)
                ),
            },
        )
        assert poll(lambda: self._ask("/ping") is not None, _SECONDS), "Traefik does not start"

    def add(self, name: str, stack: Stack, container: Container) -> None:
        """Have Traefik send requests for a service to a container."""
        service = stack.services[name]
        known_as = traefik_name(name, service)
        labels = dict(traefik_labels(name, service))
        labels[f"traefik.http.services.{known_as}.loadbalancer.server.port"] = str(container.port)
        self._change(lambda: self._containers.update({container.name: (container, labels)}))
        assert poll(lambda: container.address in self._known(known_as), _SECONDS)

    def remove(self, name: str) -> None:
        """Have Traefik forget a container, as the agent does when one is to leave."""
        container, labels = self._containers[name]
        known_as = labels_service(labels)
        self._change(lambda: self._containers.pop(name))
        assert poll(lambda: container.address not in self._known(known_as), _SECONDS)

    def stop(self) -> None:
        """End Traefik, as when the VM is gone."""
        self._process.kill()
        self._process.wait()
        self._docker.shutdown()
        self._docker.server_close()

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
                return [{"Id": name, "Names": [f"/{name}"]} for name in list(self._containers)]
            case ["containers", name, "json"] if name in self._containers:
                container, labels = self._containers[name]
                networks = {_NETWORK: {"IPAddress": container.address}}
                return {
                    "Id": name,
                    "Name": f"/{name}",
                    "State": {"Running": True, "Status": "running"},
                    "HostConfig": {"NetworkMode": _NETWORK},
                    "Config": {"Labels": dict(labels)},
                    "NetworkSettings": {"Networks": networks, "Ports": {}},
                }
            case _:
                return {}


def labels_service(labels: Mapping[str, str]) -> str:
    """Return what Traefik calls the service that labels are of."""
    found = (re.fullmatch(agent._PORT, label) for label in labels)
    return next(each["service"] for each in found if each)


class Site:
    """An edge, and what is behind it: the addresses of servers for each service, by VM."""

    def __init__(self, folder: Path, live: Path | None = None) -> None:
        self.instance = Instance(str(folder), "test-edge")
        self.port, self._http_port, self._stats_port = free_ports(3)
        self._live = live
        self.address = f"127.0.0.1:{self.port}"
        self.ready_seconds = 10.0

    def stack(self, services: Mapping[str, Any]) -> Stack:
        """Return a config with these services, of which some keys need not be given."""
        whole = {
            name: {
                "image": "app:1",
                "hosts": [f"{name}.example.org"],
                "port": 80,
                # As all servers here have it, but for those of gRPC.
                **({} if "h2c" in str(raw.get("http")) else {"health": {"path": HEALTH}}),
                **raw,
            }
            for name, raw in services.items()
        }
        stats = {"port": self._stats_port}
        edge: dict[str, Any] = {"bind": "127.0.0.1", "port": self.port, "stats": stats}
        if self._live is not None:
            tls = {"port": self.port, "folder": str(self._live)}
            edge |= {"port": self._http_port, "tls": tls}
        return parse({"farm": {"vms": 2, "image": "x"}, "services": whole, "edge": edge})

    def text(self, stack: Stack, servers: Mapping[str, Mapping[str, str]]) -> str:
        """Return the edge's text for servers by service and VM."""
        pools = [
            pool(
                name,
                service,
                dict.fromkeys(servers[name], 1),
                servers[name],
                {status: read_page(path) for status, path in service.http.error_pages.items()},
            )
            for name, service in stack.services.items()
        ]
        lists = userlists(stack.services)
        folder = str(self.instance.folder)
        return render(pools, stack.edge, folder, users.digest(lists) if lists else "")

    def apply(self, stack: Stack, servers: Mapping[str, Mapping[str, str]]) -> None:
        """Put a config into force, as Pulumi's resources do."""
        with self.instance.locked():
            lists = userlists(stack.services)
            if lists:
                users.keep(self.instance.folder, lists)
            apply(self.instance, self.text(stack, servers), self.ready_seconds)

    def ask(self, command: str) -> str:
        """Return what the current worker answers."""
        return self.instance.ask_master(f"@1 {command}") or ""


@contextlib.contextmanager
def a_site(live: Path | None = None) -> Iterator[Site]:
    """Yield a site whose edge is removed at the end.

    Args:
        live: Certificates as in `/etc/letsencrypt/live`, for HTTPS.
    """
    # Not pytest's own folder, whose path is too long for a socket's.
    with tempfile.TemporaryDirectory() as folder:
        made = Site(Path(folder) / "edge", live)
        try:
            yield made
        finally:
            timer.stop(made.instance)
            made.instance.stop()


@contextlib.contextmanager
def running(*containers: Container) -> Iterator[None]:
    """Stop them at the end."""
    try:
        yield
    finally:
        for each in containers:
            each.stop()


@contextlib.contextmanager
def vms(count: int) -> Iterator[list[Vm]]:
    """Yield VMs."""
    with contextlib.ExitStack() as ends:
        made = []
        for _ in range(count):
            folder = ends.enter_context(tempfile.TemporaryDirectory())
            vm = Vm(Path(folder))
            ends.callback(vm.stop)
            made.append(vm)
        yield made


@dataclass(frozen=True)
class Answer:
    """What curl got."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the value of a header; of several, the last."""
        return dict(self.headers).get(name.lower())

    def all(self, name: str) -> list[str]:
        """Return the values of a header."""
        return [value for key, value in self.headers if key == name.lower()]

    @property
    def json(self) -> Any:
        """Return the body of an `App`'s answer."""
        return json.loads(self.body)


def curl(site: Site, url: str, *options: str) -> Answer:
    """Ask with curl, which finds every domain at the site."""
    with tempfile.TemporaryDirectory() as folder:
        head = Path(folder) / "head"
        told = subprocess.run(
            (
                *("curl", "--silent", "--show-error", "--max-time", "60", "--noproxy", "*"),
                *("--connect-to", f"::{site.address}", "--dump-header", str(head)),
                *options,
                url,
            ),
            check=False,
            capture_output=True,
        )
        assert told.returncode in (0, *_REFUSED_EARLY), told.stderr
        lines = head.read_bytes().decode().replace("\r\n", "\n").strip().split("\n\n")[-1]
    status, *headers = lines.split("\n")
    pairs = [line.partition(":") for line in headers]
    return Answer(
        int(status.split()[1]),
        [(name.lower(), value.strip()) for name, _, value in pairs],
        told.stdout,
    )


_REFUSED_EARLY = (55, 56)
"""Curl's codes for an answer that came before all was sent, and ended the connection."""


def http2_silence(site: Site, host: str) -> tuple[int, bytes]:
    """Say that there will be a body, never send any, and return the answer."""
    protocol = h2.connection.H2Connection()
    protocol.initiate_connection()
    headers = {":method": "POST", ":path": "/", ":scheme": "http", ":authority": host}
    protocol.send_headers(1, list(headers.items()))
    status, body = 0, b""
    with socket.create_connection(("127.0.0.1", site.port), timeout=30) as connection:
        while True:
            connection.sendall(protocol.data_to_send())
            for event in protocol.receive_data(connection.recv(65_536)):
                if isinstance(event, h2.events.ResponseReceived):
                    status = int(dict(event.headers)[b":status"])
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                elif isinstance(event, h2.events.StreamEnded):
                    return status, body


def http2_upload(site: Site, host: str, size: int) -> int:
    """Upload with HTTP/2, and return the status.

    Curl 7.88 will not tell one that comes before all was sent.
    """
    protocol = h2.connection.H2Connection()
    protocol.initiate_connection()
    headers = {":method": "POST", ":path": "/", ":scheme": "http", ":authority": host}
    protocol.send_headers(1, [*headers.items(), ("content-length", str(size))])
    with socket.create_connection(("127.0.0.1", site.port), timeout=30) as connection:
        while True:
            while part := min(size, protocol.local_flow_control_window(1), 16_384):
                size -= part
                protocol.send_data(1, b"x" * part, end_stream=size == 0)
            connection.sendall(protocol.data_to_send())
            for event in protocol.receive_data(connection.recv(65_536)):
                if isinstance(event, h2.events.ResponseReceived):
                    return int(dict(event.headers)[b":status"])
