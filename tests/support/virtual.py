"""A fake VM: the agent and the real Traefik, with a fake Docker that only answers questions."""

import contextlib
import http.client
import itertools
import json
import os
import re
import socket
import socketserver
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from components.config.loading import parse
from components.config.models.service import Service
from components.host import traefik
from components.service.labels import traefik_labels
from lab.loopback.ports import free_ports
from lab.loopback.vm import BINARY
from remote.labels import owned
from remote.names import SLOT_LABEL, TRAEFIK_LABEL
from remote.vm_agent import polling, traefik_files
from remote.vm_agent.agent import Agent
from remote.vm_agent.filtered_docker import FilteredDocker
from remote.vm_agent.server import UnixServer

NETWORK = "apps"
EDGE = ("127.0.0.1",)
HOST = "app.example.org"
TCP = "app"
"""The service of ``TcpApp``."""
BYE = b"bye"
THINKS = 0.3  # seconds before it says so: longer than the 0.1 s that Traefik gives by default


def inspected(container: "App | TcpApp") -> dict[str, Any]:
    """Return Docker's description of a container."""
    return {
        "Id": container.id,
        "Name": f"/{container.id}",
        "State": {
            "Running": container.running,
            "Paused": container.paused,
            "Status": "running" if container.running else "exited",
            "StartedAt": container.started_at,
            "Pid": container.pid,
        },
        "HostConfig": {"NetworkMode": NETWORK},
        "Config": {"Labels": container.labels},
        "NetworkSettings": {"Networks": {NETWORK: {"IPAddress": container.address}}, "Ports": {}},
    }


def service(name: str, raw: Mapping[str, Any]) -> Service:
    """Return a service from what a config says of it."""
    return parse({"farm": {"vms": 1, "image": "x"}, "services": {name: raw}}).services[name]


def labels_of(
    name: str, number: int, spec: Service, image: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return a container's labels as Docker has them: Gatehouse's win over the image's."""
    own = {SLOT_LABEL: f"{name}-web-0-{number}", **traefik_labels(name, spec)}
    return {**(image or {}), **owned(own)}


class App:
    """A container: an HTTP server on its own address."""

    def __init__(
        self,
        docker: "Docker",
        number: int,
        port: int,
        image: Mapping[str, str] | None = None,
        **changes: Any,
    ) -> None:
        self.id = f"{number:064x}"
        self.address = f"127.0.1.{number}"
        self.healthy, self.running, self.started_at = True, True, "first"
        self.paused = False
        self.late = False
        """Whether its health check has no answer until ``go_on`` is set."""
        self.health, self.said = "", "curl: not found\n"
        """What Docker's own check has come to, and has printed."""
        self.pid = os.getpid()
        self.asked: list[str] = []
        self.checks = 0
        self.image = ""
        self.go_on = threading.Event()
        raw = {"image": "app:1", "hosts": [HOST], "port": port, "health": {"path": "/up"}}
        self.labels = labels_of("app", number, service("app", {**raw, **changes}), image)
        app = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path == "/up":
                    app.checks += 1
                else:
                    app.asked.append(self.path)
                if self.path == "/slow" or (self.path == "/up" and app.late):
                    assert app.go_on.wait(60)
                ok = self.path != "/up" or app.healthy
                body = app.id.encode()
                self.send_response(200 if ok else 500)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer((self.address, port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        docker.containers[self.id] = self

    def die(self) -> None:
        """Take no connection any more."""
        self.server.shutdown()
        self.server.server_close()

    def inspected(self) -> dict[str, Any]:
        told = inspected(self)
        told["Config"]["Env"] = ["TOKEN=hunter2"]
        told["Image"] = self.image
        if self.health:
            log = [{"ExitCode": 1, "Output": "older"}, {"ExitCode": 1, "Output": self.said}]
            told["State"]["Health"] = {"Status": self.health, "Log": log}
        return told


class TcpApp:
    """A container that speaks first, then sends back what it gets, and ends after its client."""

    def __init__(self, docker: "Docker", number: int, port: int, **changes: Any) -> None:
        self.id = f"{number:064x}"
        self.address = f"127.0.1.{number}"
        self.port = port
        self.running, self.started_at, self.health, self.paused = True, "first", "", False
        self.pid = os.getpid()
        self.opened: list[float] = []
        """When connections were begun, on the monotonic clock; those of checks too."""
        self.received: list[bytes] = []
        self._open: set[socket.socket] = set()
        raw = {"image": "app:1", "port": port, "tcp": {"port": 5432}, **changes}
        self.labels = labels_of(TCP, number, service(TCP, raw))
        self._server = socket.create_server((self.address, self.port), backlog=128)
        threading.Thread(target=self._serve, daemon=True).start()
        docker.containers[self.id] = self

    def refuse(self) -> None:
        """Go on running, and take no connection any more."""
        with contextlib.suppress(OSError):  # it does already
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def die(self) -> None:
        """End with all connections."""
        self.running = False
        self.refuse()
        for connection in list(self._open):
            with contextlib.suppress(OSError):  # it has just ended by itself
                connection.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # it is closed
            while True:
                connection, _ = self._server.accept()
                self.opened.append(time.monotonic())
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        self._open.add(connection)
        with connection, contextlib.suppress(OSError):  # the client of the check has gone already
            connection.sendall(self.id.encode())
            received = b""
            while data := connection.recv(65536):
                received += data
                connection.sendall(data)
            self.received.append(received)
            time.sleep(THINKS)
            connection.sendall(BYE)
        self._open.discard(connection)

    def inspected(self) -> dict[str, Any]:
        told = inspected(self)
        if self.health:
            told["State"]["Health"] = {"Status": self.health}
        return told


class Docker:
    """Docker's API on a socket, as far as the agent asks it."""

    def __init__(self, path: Path) -> None:
        self.containers: dict[str, Any] = {}
        self.event = threading.Condition()
        self.events: list[dict[str, Any]] = []
        self.busy_with: set[str] = set()
        """The containers about which it does not answer, as about one that it is starting."""
        self.idle = threading.Condition()
        self.images: set[str] = set()
        self.inspections: Counter[str] = Counter()
        """How often each container was inspected."""
        docker = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                place = re.sub(r"^/v[0-9.]+", "", url.path).strip("/").split("/")
                if place == ["events"]:
                    docker.tell_events(self)
                    return
                status, body = docker.answer(place, parse_qs(url.query))
                self.send_response(status)
                self.send_header("Api-Version", "1.41")
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def do_DELETE(self) -> None:
                self.send_response(docker.remove(self.path.rpartition("/")[2]))
                self.end_headers()

            def do_HEAD(self) -> None:
                self.do_GET()

            def address_string(self) -> str:
                return "a socket"

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True

        self.server = Server(str(path), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def remove(self, image: str) -> int:
        """Remove an image as Docker does, and return the status."""
        if any(each.inspected().get("Image") == image for each in self.containers.values()):
            return 409
        if image not in self.images:
            return 404
        self.images.remove(image)
        return 200

    def answer(self, place: list[str], query: dict[str, list[str]]) -> tuple[int, Any]:
        match place:
            case ["version"]:
                return 200, {"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12"}
            case ["containers", "json"]:
                label = json.loads(query.get("filters", ['{"label":[""]}'])[0])["label"][0]
                return 200, [
                    {"Id": name, "Names": [f"/{name}"], "Created": index, "Labels": labels}
                    for index, (name, each) in enumerate(self.containers.items())
                    for labels in [each.inspected()["Config"]["Labels"]]
                    if not label or label in labels or label in map("=".join, labels.items())
                ]
            case ["containers", name, "json"] if name in self.containers:
                with self.idle:
                    assert self.idle.wait_for(lambda: name not in self.busy_with, 60)
                    self.inspections[name] += 1
                return 200, self.containers[name].inspected()
            case ["containers", *_]:
                return 404, {"message": "no such container"}
            case _:
                return 200, {}

    def tell_events(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for told in itertools.count():
            with self.event:
                while len(self.events) <= told:
                    self.event.wait()
                event = self.events[told]
            handler.wfile.write(json.dumps(event).encode() + b"\n")

    def happens(self, action: str, container: "App | TcpApp") -> None:
        with self.event:
            self.events.append({"Action": action, "Actor": {"ID": container.id}})
            self.event.notify_all()

    def becomes_busy_with(self, *containers: "App | TcpApp") -> None:
        with self.idle:
            self.busy_with = {each.id for each in containers}
            self.idle.notify_all()


class Traefik:
    """Traefik's own container, which is a process."""

    def __init__(self, docker: Docker, folder: Path) -> None:
        self.web, self.api = free_ports(2)
        flags = [
            flag.replace(f":{traefik.API_PORT}", f"127.0.0.1:{self.api}")
            .replace(f"=:{traefik.ENTRYPOINT_PORT}", f"=127.0.0.1:{self.web}")
            .replace(traefik.AGENT_FOLDER, str(folder / "traefik"))
            for flag in traefik.command(NETWORK, EDGE)
        ]
        self.process = subprocess.Popen(
            (str(BINARY), *flags),
            env=dict(
                each.replace(traefik.AGENT_FOLDER, str(folder / "traefik")).split("=")
                for each in traefik.environment(EDGE)
            ),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        docker.containers["f" * 64] = self

    def inspected(self) -> dict[str, Any]:
        return {
            "Id": "f" * 64,
            "State": {"Running": True, "Paused": False, "StartedAt": "", "Pid": self.process.pid},
            "Config": {"Labels": owned({TRAEFIK_LABEL: str(self.api)})},
            "NetworkSettings": {"Networks": {NETWORK: {"IPAddress": "127.0.0.1"}}},
        }

    def get(self, path: str = "/", host: str = HOST) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.web, timeout=60)
        try:
            connection.request("GET", path, headers={"Host": host, traefik.SERVICE_HEADER: "app"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def runs(self) -> bool:
        try:
            return self.get()[0] == 503
        except OSError:
            return False


def new_agent(folder: Path) -> Agent:
    """Return another agent with the same files, which follows Docker."""
    made = Agent(folder)
    threading.Thread(target=made.follower.follow, daemon=True).start()
    return made


class Vm:
    """The agent with all that is around it on a VM."""

    def __init__(self, folder: Path) -> None:
        self.docker = Docker(folder / "docker.sock")
        (folder / "traefik").mkdir()
        traefik_files.write_files(folder)
        self.agent = Agent(folder)
        self.socket = folder / "traefik" / "docker.sock"
        self.port = free_ports(1)[0]
        self.server = UnixServer(self.socket, FilteredDocker, self.agent)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        threading.Thread(target=self.agent.follower.follow, daemon=True).start()
        self.traefik = Traefik(self.docker, folder)
        eventually(self.traefik.runs)

    def app(self, number: int, **changes: Any) -> App:
        return App(self.docker, number, **{"port": self.port, **changes})

    def close(self) -> None:
        """End all of it, so that the next one can have the containers' addresses."""
        self.traefik.process.kill()
        self.traefik.process.wait()
        for each in self.docker.containers.values():
            if each is not self.traefik:
                self.agent.view.hide(each.id)  # or it prints into the next test that a check fails
                each.die()

    def answering(self) -> set[str]:
        return {self.traefik.get()[1] for _ in range(8)}


def eventually(condition: Callable[[], bool]) -> None:
    assert polling.poll(condition, 60)
