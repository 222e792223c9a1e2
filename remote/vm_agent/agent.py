"""The agent on each VM: it decides which containers Traefik sees.

    python3 agent.py serve FOLDER            the daemon, under systemd
    python3 agent.py deployed SECONDS        wait until the daemon runs this very text
    python3 agent.py join CONTAINER SECONDS  show a container once it is healthy, wait for Traefik
    python3 agent.py leave CONTAINER GRACE MARK
                                             hide it, wait until its requests in flight are over
    python3 agent.py evacuate GRACE          wait for all requests in flight, stop all containers

Traefik's Docker provider has no drain: it sends requests to whatever runs. So it does not talk to
Docker but to the daemon's socket, which shows it Docker's description of the containers that may
serve, and nothing else. A container may serve when it has joined and has passed its check since its
last start, until its process ends. One that leaves is hidden first, and stopped only when nothing
is in flight; Traefik forgets it without touching its open requests. While the daemon is away,
Traefik keeps what it has.

``join`` prints a mark. A container that has got another mark since does not leave: Pulumi replaces
a command by making the new one and then undoing the old one.

Sent to the VM as text, so it imports nothing but the standard library.
"""

import base64
import contextlib
import hashlib
import http.client
import itertools
import json
import os
import re
import secrets
import select
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

DOCKER_SOCKET = "/var/run/docker.sock"
FOLDER = "/var/lib/gatehouse"
TRAEFIK_LABEL = "gatehouse.traefik"
"""On Traefik's own container: the port of its API."""

PIDS_LABEL = "gatehouse.pids"
"""On each container: how many processes and threads it may have."""

OWN_LABEL = "gatehouse.labels"
"""On each container: the names of the labels that Gatehouse has given it. Docker adds the image's,
and where both have one, the container's counts; so no image can say anything here."""

INTERVAL_LABEL = "gatehouse.interval"
"""The check interval, such as ``10s``, of a container without Traefik's health-check labels."""

_SLOT_LABEL = "gatehouse.slot"
"""On each container of a service."""

_ID = r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,127}"
"""Of containers, images and services."""

_API_USER = "agent"
_WHO_SERVED = "who had joined"
"""Stands for the containers that served, while these are not known."""

NOWHERE = """\
http:
  routers:
    api:
      entryPoints: [traefik]
      rule: "PathPrefix(`/api`)"
      middlewares: [agent]
      service: api@internal
    nowhere: {entryPoints: [web], rule: "PathPrefix(`/`)", priority: -1, service: nowhere}
    metrics:
      entryPoints: [web]
      rule: "Host(`_metrics`) && Path(`/metrics`)"
      middlewares: [edge]
      service: prometheus@internal
  services:
    nowhere: {loadBalancer: {servers: []}}
  middlewares:
    agent: {basicAuth: {usersFile: {{ env "GATEHOUSE_FOLDER" }}/users}}
    edge: {ipAllowList: {sourceRange: [{{ env "GATEHOUSE_EDGE" }}]}}
tcp:
  routers:
    nowhere: {entryPoints: [web], rule: "HostSNI(`*`)", priority: 1, tls: {}, service: nowhere}
  services:
    nowhere: {loadBalancer: {servers: []}}
  serversTransports:
    passed-on: {dialTimeout: 1s, terminationDelay: -1s}
    with-address: {dialTimeout: 1s, terminationDelay: -1s, proxyProtocol: {version: 2}}
"""
"""Lets Traefik answer 503 rather than 404 for a service that has no container left here: the edge
sends only what should be here, and tries a 503 on another VM if that is safe. A TCP connection for
such a service gets no handshake, and is tried on another VM too. One that a side has ended its half
of goes on until the other does, for which Traefik would wait 0.1 s.

It also shows Traefik's metrics to the edge, under a domain that no service can have; Traefik fills
in the address. Only the agent may read Traefik's API, because containers share its
network."""

PASSED_ON = "passed-on@file"
"""How Traefik connects to the containers of TCP services."""
PASSED_ON_WITH_ADDRESS = "with-address@file"
"""The same, with the client's address in the PROXY protocol."""

SERVING_WEIGHT = 400
"""Of the VM's processors when there is not enough for all; what starts has 100, and so has Docker:
what serves may not wait for that, nor for Docker to take its log, for which Docker needs its share.
"""

_VERSION = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
_POLL_SECONDS = 0.25
_SAVE_SECONDS = 1.0
_IMAGES = 2  # of a service that stay: the one it has, and the one before, for a way back
_QUIET_SECONDS = 1.5
"""No connection for so long means no request: Traefik keeps idle ones for 1 s."""
_TELL_AGAIN_SECONDS = 10.0
"""Seconds after which Traefik lists the containers again although nothing has changed."""
_FIRST_LOOK_SECONDS = 30.0
"""Seconds for Docker to describe the containers that served before this agent."""
_DOCKER_SECONDS = 180.0
"""For Docker to answer; while it starts a container it may not, 120 s on a busy emulated CPU."""
_FORGET_SECONDS = 30.0
"""Traefik takes up a change within 0.1 s; on an emulated CPU under load it took up to 3 s."""
_JOIN_CHECK_SECONDS = 10.0
"""Seconds for the first answers, which take longer than later ones."""
_LOG_LINES = "15"
_LOG_SECONDS = 30.0
_READ = 65_536  # bytes of an answer to a check
_GRPC_HEALTH = "/grpc.health.v1.Health/Check"
_HPACK_STATUS = {
    bytes((0x88 + index,)): status
    for index, status in enumerate((200, 204, 206, 304, 400, 404, 500))
}
_SAID = 500  # characters of what Docker's check has printed
_HEALTHCHECK = ".loadbalancer.healthcheck."
"""In the labels of checks. Traefik does not see them, or it would check the application too."""
# Of proc_pid_net(5). A client of HTTP waits for its answer with both halves open; others may have
# ended theirs, and the container has not.
_ESTABLISHED, _CLOSE_WAIT = "01", "08"
_IN_FLIGHT = {"http": {_ESTABLISHED}, "tcp": {_ESTABLISHED, _CLOSE_WAIT}}
_ASKED_DOCKER = re.compile(r"(/v[0-9.]+)?/(_ping|version)")
_LIST = re.compile(r"(/v[0-9.]+)?/containers/json")
_ONE = re.compile(r"(/v[0-9.]+)?/containers/(?P<id>[0-9a-f]+)/json")
_EVENTS = re.compile(r"(/v[0-9.]+)?/events")
_TELLING = ("start", "die", "destroy", "health_status", "pause", "unpause")
"""The first words of those events of Docker that may change whether a container serves."""
_SCHEME = "loadbalancer.server.scheme"
_PORT = re.compile(
    r"traefik\.(?P<kind>http|tcp)\.services\.(?P<service>.+)\.loadbalancer\.server\.port"
)


Answer = TypeVar("Answer")


class AgentError(Exception):
    """The request cannot be carried out; the text says why."""


class DockerError(OSError):
    """Docker cannot describe this container; it may describe others."""


class DockerConnection(http.client.HTTPConnection):
    """HTTP to Docker's socket."""

    def __init__(self, timeout: float | None = 30.0) -> None:
        super().__init__("docker", timeout=timeout)

    def connect(self) -> None:
        """Connect to the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(DOCKER_SOCKET)


def ask_docker(path: str, update: object = None, method: str = "GET") -> tuple[int, bytes]:
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


@dataclass(frozen=True)
class Container:
    """The properties of a container that the agent uses."""

    id: str
    running: bool
    started_at: str
    """The time of its start, in Docker's format; it changes with each start."""
    pid: int
    address: str
    health: str
    """What Docker's own check has come to: ``starting``, ``healthy`` …; empty if it has none."""
    said: str
    """The last output of that check."""
    image: str
    """The id of its image."""
    labels: dict[str, str]
    """The labels that Gatehouse has given it."""
    told: dict[str, Any]
    """Docker's description of it, without its environment and the labels that are not for
    Traefik."""

    @property
    def is_traefik(self) -> bool:
        """Whether it is Traefik's own, and no service's."""
        port = self.labels.get(TRAEFIK_LABEL, "")
        return re.fullmatch("[0-9]{1,5}", port) is not None and _SLOT_LABEL not in self.labels

    @property
    def plain_service(self) -> str:
        """The service's name in the config; ``_traefik`` for Traefik."""
        return self.service.rpartition("-")[0] or "_traefik"

    @property
    def kind(self) -> str:
        """How Traefik serves it: ``http`` or ``tcp``."""
        return self._served[0]

    @property
    def service(self) -> str:
        """The service's name in Traefik; empty if Traefik does not serve it."""
        return self._served[1]

    @property
    def _served(self) -> tuple[str, str]:
        found = [
            (each["kind"], each["service"]) for each in map(_PORT.fullmatch, self.labels) if each
        ]
        # One of TCP has a service of HTTP too, which is for the edge's check.
        return max(found, default=("http", ""))

    @property
    def port(self) -> int:
        """The port that it serves on."""
        return int(self._of_service("server.port"))

    @property
    def at(self) -> str:
        """Its address in the format of Traefik's API."""
        return f"{f'{self._scheme}://' if self.kind == 'http' else ''}{self.address}:{self.port}"

    @property
    def _scheme(self) -> str:
        return self.labels.get(f"traefik.http.services.{self.service}.{_SCHEME}", "http")

    def _of_service(self, key: str) -> str:
        return self.labels[f"traefik.{self.kind}.services.{self.service}.loadbalancer.{key}"]

    def unchecked(self) -> "Container":
        """Return the container as Traefik is to see it when the edge's check is to fail."""
        check = f"traefik.http.routers.{self.service}_check."
        labels = self.told["Config"]["Labels"]
        kept = {key: value for key, value in labels.items() if not key.startswith(check)}
        return replace(self, told={**self.told, "Config": {**self.told["Config"], "Labels": kept}})

    @property
    def interval(self) -> float:
        """Seconds between two checks."""
        return self._seconds("interval", self.labels.get(INTERVAL_LABEL, "10s"))

    @property
    def check_timeout(self) -> float:
        """Seconds that one check may take."""
        return self._seconds("timeout", "5s")

    def _seconds(self, key: str, otherwise: str) -> float:
        balancer = f"traefik.{self.kind}.services.{self.service}{_HEALTHCHECK}"
        return float(self.labels.get(f"{balancer}{key}", otherwise).removesuffix("s"))

    @property
    def _has_command(self) -> bool:
        """Whether it is a TCP service that only Docker checks."""
        return self.kind == "tcp" and not any(_HEALTHCHECK in each for each in self.labels)

    def health_problem(self, timeout: float = _JOIN_CHECK_SECONDS) -> str | None:
        """Return why it fails its health check, or None.

        Docker's own check has to pass too, because Traefik leaves out unhealthy containers.
        """
        if self.health not in ("", "none", "healthy"):
            return self._docker_problem()
        if self._has_command and self.health:
            return None
        if self.kind == "tcp" or self._takes_calls:
            return self._connection_problem(timeout)
        return self._http_problem(timeout)

    def call_problem(self, timeout: float) -> str | None:
        """Return why it fails a check while it serves, or None.

        As ``health_problem``, except that gRPC servers get a call. Any gRPC answer passes, so they
        need no health service.
        """
        called = self._takes_calls and self.kind == "http"
        return self._http_problem(timeout) if called else self.health_problem(timeout)

    def _docker_problem(self) -> str:
        checked = "its health.command" if self._has_command else "Docker's check of it"
        said = f": {self.said}" if self.said else ""
        hint = (
            ""
            if self._has_command
            else " (health.command, or else the image's HEALTHCHECK, which"
            " health.image_check: false switches off)"
        )
        return f"{checked} says {self.health}{said}{hint}"

    @property
    def _takes_calls(self) -> bool:
        """Whether it is treated as a gRPC server: HTTP/2 only, and without a ``health.path``."""
        return self._scheme != "http" and not any(_HEALTHCHECK in each for each in self.labels)

    def _http_problem(self, timeout: float) -> str | None:
        path, host = _GRPC_HEALTH, self.address
        if not self._takes_calls:
            path = self._of_service("healthcheck.path")
            host = self._of_service("healthcheck.hostname")
        ask = http1_status if self._scheme == "http" else http2_status
        try:
            status = ask((self.address, self.port), host, path, timeout)
        except (OSError, http.client.HTTPException) as error:
            return f"{path} on port {self.port}: {error or type(error).__name__}"
        return None if 200 <= status < 400 else f"{path} on port {self.port}: status {status}"

    def _connection_problem(self, timeout: float) -> str | None:
        try:
            socket.create_connection((self.address, self.port), timeout=timeout).close()
        except OSError as error:
            return f"a connection to port {self.port}: {error}"
        return None

    def connections(self) -> int:
        """Return how many connections there are to its port."""
        count = 0
        for table in ("tcp", "tcp6"):
            try:
                lines = Path(f"/proc/{self.pid}/net/{table}").read_text().splitlines()[1:]
            except PermissionError:
                raise  # or it would look as if there were none
            except OSError:
                continue  # it has ended
            count += sum(is_connection(line, self.port, self.kind) for line in lines)
        return count


@contextlib.contextmanager
def cut_after(connection: socket.socket, seconds: float) -> Iterator[threading.Event]:
    """End a connection after a time: its own timeout begins again with each byte that arrives.

    Gives the event that it was ended.

    Raises:
        TimeoutError: It was ended, and what was done with it failed.
    """
    over = threading.Event()

    def cut() -> None:
        over.set()
        with contextlib.suppress(OSError):  # it has ended
            connection.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield over
    except (OSError, http.client.HTTPException):
        if over.is_set():
            raise TimeoutError("timed out") from None
        raise
    finally:
        timer.cancel()


def http1_status(server: tuple[str, int], host: str, path: str, timeout: float) -> int:
    """Return the status of the answer to a GET.

    Raises:
        OSError, http.client.HTTPException: There is none.
    """
    connection = http.client.HTTPConnection(*server, timeout=timeout)
    try:
        connection.connect()
        with cut_after(connection.sock, timeout) as over:
            connection.request("GET", path, headers={"Host": host})
            answer = connection.getresponse()
            if over.is_set():  # its header looks as if it had ended
                raise TimeoutError
            if answer.length and answer.length <= _READ:
                # Otherwise the application would see a reset connection.
                with contextlib.suppress(OSError, http.client.HTTPException):
                    answer.read()
            return answer.status
    finally:
        connection.close()


def http2_status(server: tuple[str, int], host: str, path: str, timeout: float) -> int:
    """Return the status of the answer to a GET over HTTP/2, or to a call of gRPC's if it is one.

    As much of RFC 9113 and RFC 7541 as that takes, since the standard library has neither.

    Raises:
        OSError: There is none.
    """
    call = path == _GRPC_HEALTH
    fields = (b"\x83" if call else b"\x82") + b"\x86" + b"\x04" + _hpack(path)
    fields += b"\x01" + _hpack(host)
    if call:
        fields += b"\x0f\x10" + _hpack("application/grpc")
        fields += b"\x00" + _hpack("te") + _hpack("trailers")
    sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, b"")
    sent += _frame(1, 4 if call else 5, 1, fields) + (_frame(0, 1, 1, bytes(5)) if call else b"")
    with (
        socket.create_connection(server, timeout=timeout) as connection,
        cut_after(connection, timeout),
    ):
        connection.sendall(sent)
        with connection.makefile("rb") as reader:
            while len(head := reader.read(9)) == 9:
                payload = reader.read(int.from_bytes(head[:3], "big"))
                kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
                if (kind, stream) == (1, 1):
                    # Ahead of the fields there may be the length of what pads them, and a priority.
                    return _hpack_status(payload[bool(flags & 8) + 5 * bool(flags & 32) :])
                if kind == 7 or (kind, stream) == (3, 1):
                    raise OSError(f"HTTP/2 error in a frame of type {kind}")
        raise OSError("no answer in HTTP/2")


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big")
    return head + payload


def _hpack(text: str) -> bytes:
    """Return a string literal, whose length has a prefix of 7 bits."""
    value = text.encode()
    if (more := len(value) - 127) < 0:
        return bytes((len(value),)) + value
    length = b"\x7f"
    while more >= 128:
        length += bytes((more % 128 + 128,))
        more //= 128
    return length + bytes((more,)) + value


def _hpack_status(block: bytes) -> int:
    """Return the status that a block of fields begins with; 0 if it does not."""
    while block[:1] and block[0] & 0xE0 == 0x20:  # another size of the table
        more = re.match(rb"\x3f[\x80-\xff]*", block)  # of its number, when that is a large one
        block = block[more.end() + 1 if more else 1 :]
    if block[:1] in _HPACK_STATUS:
        return _HPACK_STATUS[block[:1]]
    if len(block) < 3 or block[0] not in (0x08, 0x18, 0x48):
        return 0
    value = block[2 : 2 + (block[1] & 127)]
    if not block[1] & 128:
        return int(value) if value.isdigit() else 0
    if len(value) not in (2, 3):
        return 0
    # Huffman's codes: 0 to 2 have five bits and begin with 00; 3 to 9 have six and come after 24.
    bits, status = f"{int.from_bytes(value, 'big'):0{8 * len(value)}b}", 0
    for _ in range(3):
        size = 5 if bits.startswith("00") else 6
        status = status * 10 + int(bits[:size], 2) - (0 if size == 5 else 22)
        bits = bits[size:]
    return max(status, 0)


def is_connection(line: str, port: int, kind: str = "http") -> bool:
    """Whether a line of /proc/PID/net/tcp is a connection to the local ``port``, not done yet."""
    _, local, _, state, *_ = line.split()
    return state in _IN_FLIGHT[kind] and int(local.rpartition(":")[2], 16) == port


def marked(labels: Mapping[str, str]) -> dict[str, str]:
    """Return labels for a container, and the label that lists them, to ignore the image's own."""
    return {**labels, OWN_LABEL: " ".join(sorted({*labels, OWN_LABEL}))}


def own_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of a container that Gatehouse has given it.

    A container without the list was made by an older Gatehouse. It serves as it is until the update
    that has brought this agent replaces it.
    """
    listed = labels.get(OWN_LABEL)
    own = labels if listed is None else listed.split()
    return {key: labels[key] for key in own if key in labels}


def inspected(text: bytes) -> Container:
    """Return the container in Docker's JSON."""
    told = json.loads(text)
    labels = own_labels(told["Config"]["Labels"] or {})
    shown = {
        key: value
        for key, value in labels.items()
        if key.startswith("traefik.") and _HEALTHCHECK not in key
    }
    told["Config"] |= {"Env": [], "Labels": shown}
    state = told["State"]
    health = state.get("Health") or {}
    checks = health.pop("Log", None) or [{}]
    networks = told["NetworkSettings"]["Networks"] or {}
    return Container(
        id=told["Id"],
        # Docker says so of one that it is about to start again, too; that has no process.
        running=bool(state["Running"] and state["Pid"]) and not state["Paused"],
        started_at=state["StartedAt"],
        pid=state["Pid"],
        address=next((each["IPAddress"] for each in networks.values() if each["IPAddress"]), ""),
        health=health.get("Status", ""),
        said=checks[-1].get("Output", "").strip()[-_SAID:],
        image=told.get("Image", ""),
        labels=labels,
        told=told,
    )


def is_id(value: object) -> bool:
    """Whether this can be Docker's ID of a container or an image."""
    return isinstance(value, str) and re.fullmatch(_ID, value) is not None


def find(container: str) -> Container | None:
    """Return a container by its id, or None if there is none.

    Raises:
        OSError: Docker does not answer, or not with a container.
    """
    if not is_id(container):
        return None
    status, body = ask_docker(f"/containers/{container}/json")
    if status == 404:
        return None
    with contextlib.suppress(ValueError, LookupError, TypeError, AttributeError):
        if status == 200:
            return inspected(body)
    said = body[:_SAID].decode(errors="replace")
    raise DockerError(f"it says {status} of {container[:12]}: {said}")


def find_all(containers: Iterable[str]) -> list[Container]:
    """Return the containers that exist, without those that Docker cannot describe.

    Raises:
        OSError: Docker does not answer.
    """
    found = []
    for each in containers:
        try:
            found.append(find(each))
        except DockerError as error:
            print(f"container {each[:12]} is left out: {error}", flush=True)
    return [each for each in found if each is not None]


def listed(label: str) -> list[dict[str, Any]]:
    """Return Docker's list of the running containers with a label.

    Raises:
        OSError: Docker does not answer, or not with a list.
    """
    return _list(f'/containers/json?filters={{"label":["{label}"]}}')


def _list(path: str) -> list[dict[str, Any]]:
    status, body = ask_docker(path)
    with contextlib.suppress(ValueError, RecursionError):
        told = json.loads(body) if status == 200 else None
        if isinstance(told, list) and all(_is_listed(each) for each in told):
            return told
    raise DockerError(f"it says {status}: {body[:_SAID].decode(errors='replace')}")


def _is_listed(told: object) -> bool:
    found = told if isinstance(told, dict) else {}
    labels = found.get("Labels")
    created = isinstance(found.get("Created"), int | float)
    return is_id(found.get("Id")) and created and (labels is None or isinstance(labels, dict))


def limit(container: Container) -> None:
    """Give a container its limit of processes and threads, which Docker's provider cannot.

    Until then it has systemd's, 15 % of all that the VM has room for.
    """
    pids = int(container.labels.get(PIDS_LABEL, "0"))
    if pids:
        status, body = ask_docker(f"/containers/{container.id}/update", {"PidsLimit": pids})
        if status != 200:
            raise AgentError(f"does not get its limit of {pids} processes: {body.decode()}")


def prefer(container: Container) -> None:
    """Give a serving container its share of the processors, by the weight of its scope."""
    scope = f"docker-{container.id}.scope"
    try:
        if scope not in Path(f"/proc/{container.pid}/cgroup").read_text():
            print(
                f"container {container.id[:12]} is not in {scope}: no preference for it", flush=True
            )
            return
        subprocess.run(
            (
                *("sudo", "--non-interactive", "systemctl", "set-property", "--runtime"),
                *(scope, f"CPUWeight={SERVING_WEIGHT}"),
            ),
            check=False,
        )
    except OSError as error:  # it has ended
        print(f"container {container.id[:12]} gets no preference: {error}", flush=True)


def poll(condition: Callable[[], bool], seconds: float) -> bool:
    """Return whether the condition came true within the time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def insist(question: Callable[[], Answer], seconds: float = _DOCKER_SECONDS) -> Answer:
    """Return Docker's answer, asking again while Docker is too busy.

    Raises:
        AgentError: It has not answered in time.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return question()
        except OSError as error:
            if time.monotonic() > deadline:
                raise AgentError(
                    f"Docker does not answer within {seconds:.0f} s: {error}"
                ) from error
        time.sleep(_POLL_SECONDS)


@dataclass
class Member:
    """A container that has joined."""

    id: str
    healthy_since: str | None = None
    """The ``started_at`` for which its health check has passed."""
    mark: str = ""
    """Of the last ``join``; empty if that was an older agent's, or is not known."""


class Kept:
    """A document with a copy in a file. A full disk only delays the copy."""

    def __init__(self, file: Path, document: Callable[[], object]) -> None:
        self._file = file
        self._document = document
        """Returns the content for the file; any thread may call it."""
        self._lock = threading.Lock()
        self._late = False

    def read(self, understand: Callable[[Any], None]) -> bool:
        """Have ``understand`` take up what is in the file.

        Returns:
            Whether it could; what cannot be read is put aside.
        """
        try:
            understand(json.loads(self._file.read_text()))
        except FileNotFoundError:
            return False
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            aside = self._file.with_suffix(".unreadable")
            print(f"{self._file} cannot be read; moved to {aside.name}: {error!r}", flush=True)
            with contextlib.suppress(OSError):
                self._file.replace(aside)
            return False
        return True

    def drop(self, odd: list[object]) -> None:
        """Report the invalid entries of the file, if there are any."""
        if odd:
            said = ", ".join(map(repr, odd))
            more = "…" if len(said) > _SAID else ""
            print(
                f"{self._file}: {len(odd)} invalid entries are ignored: {said[:_SAID]}{more}",
                flush=True,
            )

    def save(self) -> None:
        """Write the document, now or as soon as that is possible."""
        with self._lock:
            if not self._late and not self._saved():
                self._late = True
                threading.Thread(target=self._save_late, daemon=True).start()

    def _save_late(self) -> None:
        while True:
            time.sleep(_SAVE_SECONDS)
            with self._lock:
                if self._saved():
                    self._late = False
                    return

    def _saved(self) -> bool:
        try:
            _write(self._file, json.dumps(self._document()), mode=0o600)
        except OSError as error:
            if not self._late:
                print(f"{self._file} cannot be written yet, tried again: {error}", flush=True)
            return False
        return True


class Members:
    """The containers that have joined, in a file that outlives the daemon and the VM's reboots."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.RLock()
        self._members: dict[str, Member] = {}
        self._kept = Kept(file, lambda: [asdict(each) for each in self])
        self._dropped: list[object] = []
        self.known = self._kept.read(self._understand) and not self._dropped
        """Whether there was a file, and all of it could be read."""

    def _understand(self, document: Any) -> None:
        # A newer agent, left by a failed update, may have written more keys.
        if not isinstance(document, list):
            raise TypeError("it is no list")
        for each in document:
            found = each if isinstance(each, dict) else {}
            since = found.get("healthy_since")
            if is_id(found.get("id")) and isinstance(since, str | None):
                self._members[found["id"]] = Member(found["id"], since, str(found.get("mark", "")))
            else:
                self._dropped.append(each)
        if self._dropped and not self._members:
            raise TypeError("there is no container in it")
        self._kept.drop(self._dropped)

    def __iter__(self) -> Iterator[Member]:
        with self._lock:
            return iter(list(self._members.values()))

    def get(self, container: str) -> Member | None:
        """Return a member by its container's id."""
        with self._lock:
            return self._members.get(container)

    def put(self, container: str, healthy_since: str | None) -> None:
        """Add a member, or note since which start it is healthy."""
        with self._lock:
            known = self._members.get(container, Member(container))
            self._members[container] = replace(known, healthy_since=healthy_since)
        self._kept.save()

    def mark(self, container: str) -> str:
        """Give a member a new mark, and return it."""
        mark = secrets.token_hex(8)
        with self._lock:
            if container in self._members:
                self._members[container] = replace(self._members[container], mark=mark)
        self._kept.save()
        return mark

    def remove(self, container: str) -> None:
        """Remove a member, if it is one."""
        with self._lock:
            gone = self._members.pop(container, None)
        if gone is not None:
            self._kept.save()


class Images:
    """The images that services have had on this VM; unused ones are removed, except the last two.

    An image that no container of Gatehouse has had is never removed.
    """

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        self._had: dict[str, list[str]] = {}
        """By service, the newest first."""
        self._others: set[str] = set()
        """Older ones, and those of containers that have not joined."""
        self._kept = Kept(file, self._document)
        self._kept.read(self._understand)

    def _document(self) -> object:
        with self._lock:
            return {"had": dict(self._had), "others": sorted(self._others)}

    def _understand(self, document: Any) -> None:
        had, others = document["had"], document["others"]
        services = {name: ids for name, ids in had.items() if is_id(name) and isinstance(ids, list)}
        self._had = {name: list(filter(is_id, ids)) for name, ids in services.items()}
        self._others = set(filter(is_id, list(others)))
        odd = [name for name in had if name not in services]
        odd += [each for each in (*others, *itertools.chain(*services.values())) if not is_id(each)]
        self._kept.drop([each for each in odd if each != ""])  # of a container without an image

    def comes(self, container: Container) -> None:
        """Note the image of a container that may never join."""
        self._note({}, {container.image})

    def serves(self, *containers: Container) -> None:
        """Note the images of containers that serve."""
        self._note({each.plain_service: each.image for each in containers}, set())

    def ends(self, service: str) -> None:
        """Keep only the last image of each service that has no container here any more."""
        with self._lock:
            self._others |= set(self._had.get(service, [])[1:])
            self._had = {
                name: ids[:1] if name == service else ids for name, ids in self._had.items()
            }
        self._kept.save()

    def _note(self, served: Mapping[str, str], others: set[str]) -> None:
        with self._lock:
            before = (dict(self._had), set(self._others))
            self._others |= others
            for service, image in served.items():
                older = [each for each in self._had.get(service, []) if each != image]
                self._had[service] = [image, *older[: _IMAGES - 1]]
                self._others |= {*older[_IMAGES - 1 :]}
            self._others -= {"", *itertools.chain.from_iterable(self._had.values())}
            changed = before != (self._had, self._others)
        if changed:
            self._kept.save()

    def sweep(self) -> None:
        """Remove those that are no longer kept; Docker refuses while a container has one."""
        with self._lock:
            others = sorted(self._others)
        for image in others:
            try:
                status, _ = ask_docker(f"/images/{image}", method="DELETE")
            except OSError as error:
                print(f"image {image} cannot be removed: {error}", flush=True)
                return
            if status in (200, 404):
                with self._lock:
                    self._others.discard(image)
                self._kept.save()


class Agent:
    """The daemon: the members, which of them may serve, and the listeners for changes.

    The daemon stores what Traefik sees, because Docker answers late when it matters: it reports a
    death only after its cleanup, and does not answer at all about a container that it is
    starting. On a busy emulated CPU these took 18 s and 2 minutes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._login = login(folder)
        self.members = Members(folder / "members.json")
        self.images = Images(folder / "images.json")
        self._changed = threading.Condition()
        """Its lock is for all that follows."""
        self._changes = 0
        self._shown: dict[str, Container] = {}
        self._unknown = {each.id for each in self.members if each.healthy_since is not None}
        """Containers that served before this agent, and that Docker has not described yet."""
        if not self.members.known:
            self._unknown.add(_WHO_SERVED)
        self._looks: dict[str, object] = {}
        """The latest inspection of each member, while it lasts."""
        self._watched: dict[str, str] = {}
        """The ``started_at`` of the processes whose end a thread awaits, by container."""
        self._asked: dict[str, object] = {}
        """The containers that are checked at their interval, each with a mark of its thread."""
        self._failed: dict[str, Container] = {}
        """Of those, the containers that run and have failed their last check."""
        self._slow: set[str] = set()
        """Of the failed ones, those that did not answer in time, as under too much load."""

    # The view for Traefik.

    def shown(self) -> dict[str, Container]:
        """Return the containers that may serve, by their id, as Docker described them last.

        Where none of a service serves, those that are too slow are among them, without the router
        that answers the edge's check: the edge prefers another VM, and has these if there is none.

        Raises:
            OSError: Docker has not said whether those that served before this agent still run.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: not self._unknown, _FIRST_LOOK_SECONDS):
                raise OSError(f"Docker has not described {', '.join(self._unknown)} yet")
            served = {each.plain_service for each in self._shown.values()}
            slow = (self._failed[each] for each in self._slow)
            left = (each for each in slow if each.plain_service not in served)
            return {**self._shown, **{each.id: each.unchecked() for each in left}}

    def await_change(self, seen: int, seconds: float) -> int:
        """Return the number of changes when it is no longer ``seen``, or the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._changes != seen, seconds)
            return self._changes

    def _show(self, found: Container) -> bool:
        """Show a member to every Traefik, until its process ends.

        Returns:
            Whether it has not ended already, which Docker does not know yet.

        Raises:
            AgentError: It has left.
        """
        with self._changed:
            if self.members.get(found.id) is None:
                raise AgentError("it has left meanwhile")
            before = self._shown.get(found.id)
            if before == found:
                return True
            if self._watched.get(found.id) != found.started_at:
                try:
                    process = os.pidfd_open(found.pid)
                except ProcessLookupError:
                    return False
                self._watched[found.id] = found.started_at
                threading.Thread(target=self._await_end, args=(found, process), daemon=True).start()
                threading.Thread(target=prefer, args=(found,), daemon=True).start()
            if before is None or before.started_at != found.started_at:
                self._failed.pop(found.id, None)
                self._slow.discard(found.id)
                self._asked[found.id] = asking = object()
                threading.Thread(target=self._ask_on, args=(found, asking), daemon=True).start()
                self.members.put(found.id, found.started_at)
            self._shown[found.id] = found
            self._tell(found.id)
            return True

    def _hide(self, container: str) -> None:
        with self._changed:
            self._asked.pop(container, None)
            self._slow.discard(container)
            known = (self._shown.pop(container, None), self._failed.pop(container, None))
            if any(known) or container in self._unknown:
                self._tell(container)

    def _tell(self, container: str) -> None:
        self._unknown.discard(container)
        self._changes += 1
        self._changed.notify_all()

    def _await_end(self, shown: Container, process: int) -> None:
        """Hide a container as soon as its process, a pidfd, has ended."""
        ends = select.poll()
        ends.register(process, select.POLLIN)
        ends.poll()
        os.close(process)
        with self._changed:
            if self._watched.get(shown.id) == shown.started_at:
                del self._watched[shown.id]
            now = self._shown.get(shown.id) or self._failed.get(shown.id)
            if now is not None and now.started_at == shown.started_at:
                self._hide(shown.id)

    def _ask_on(self, served: Container, asking: object) -> None:
        """Check a container at its service's interval until another thread is responsible for it.

        One that fails is hidden until it passes.
        """
        while True:
            with self._changed:
                if self._changed.wait_for(
                    lambda: self._asked.get(served.id) is not asking, served.interval
                ):
                    return
            began = time.monotonic()
            try:
                problem = served.call_problem(served.check_timeout)
            except Exception as odd:  # such as no more threads: it is asked again
                print(f"container {served.id[:12]} cannot be checked: {odd!r}", flush=True)
                continue
            slow = problem is not None and time.monotonic() - began >= served.check_timeout
            with self._changed:
                if self._asked.get(served.id) is not asking:
                    return
                self._judge(served, problem, slow=slow)

    def _judge(self, served: Container, problem: str | None, *, slow: bool) -> None:
        """Show or hide a container by the result of its check."""
        before = (served.id in self._failed, served.id in self._slow)
        if before == (problem is not None, slow):
            return
        if problem is None:
            self._shown[served.id] = self._failed.pop(served.id)
            self.members.put(served.id, served.started_at)
        elif served.id in self._shown:
            print(f"container {served.id[:12]} fails its check: {problem}", flush=True)
            self._failed[served.id] = self._shown.pop(served.id)
            self.members.put(served.id, None)
        (self._slow.add if slow else self._slow.discard)(served.id)
        self._tell(served.id)
        if problem is None:
            self._look(served.id)  # Docker's events during the check were not handled

    # Docker's events.

    def follow_docker(self) -> None:
        """Inspect a member again after each of its events in Docker; never returns."""
        while True:
            connection = DockerConnection(timeout=None)
            try:
                connection.request("GET", '/events?filters={"type":["container"]}')
                answer = connection.getresponse()
                if _WHO_SERVED in self._unknown:
                    self._find_members()
                for member in self.members:
                    self._look(member.id)
                while line := answer.readline():
                    told = json.loads(line)
                    container = told["Actor"]["ID"]
                    if told["Action"].startswith(_TELLING) and self.members.get(container):
                        self._look(container)
            except Exception as odd:  # without this thread, no event would be noticed
                print(f"Docker's events cannot be read: {odd!r}", flush=True)
            finally:
                connection.close()
            time.sleep(_POLL_SECONDS)  # Docker is being restarted

    def _find_members(self) -> None:
        """Find out which containers had joined, if the file is lost.

        Traefik sends requests to these. After a reboot no Traefik knows; then it
        is the oldest container of each slot, once it is healthy: a later one may be left from an
        update that was killed, and has never joined.

        Raises:
            OSError: Docker does not answer.
        """
        there = sorted(listed(_SLOT_LABEL), key=lambda each: each["Created"])
        found = [each for each in find_all(one["Id"] for one in there) if each.running]
        ours = [each for each in found if each.service and _SLOT_LABEL in each.labels]
        # The members whose entries in the file were valid.
        taken = {each.labels[_SLOT_LABEL] for each in ours if self.members.get(each.id)}
        ours = [each for each in ours if each.labels[_SLOT_LABEL] not in taken]
        asked = traefiks()
        served = {each.id for each in ours if any(self._sends(each, asked))}
        if not served:
            ours = [each for each in ours if OWN_LABEL in each.labels]
        first = {each.labels[_SLOT_LABEL]: each.id for each in reversed(ours)}
        for each in ours:
            slot = each.labels[_SLOT_LABEL]
            joined = each.id in (served or first.values())
            if joined:
                self.members.put(each.id, each.started_at if served else None)
            said = "assumed to have joined" if joined else "not known to have joined"
            print(f"container {each.id[:12]} of {slot} is {said}", flush=True)
        with self._changed:
            self._unknown |= {each.id for each in self.members if each.healthy_since is not None}
            self._tell(_WHO_SERVED)

    def _look(self, container: str) -> None:
        """Show or hide a member by its present state in Docker, in a separate thread."""
        look = object()
        with self._changed:
            self._looks[container] = look
        threading.Thread(target=self._settle, args=(container, look), daemon=True).start()

    def _settle(self, container: str, look: object) -> None:
        """Inspect a member until it serves, does not run, or has a newer event."""
        while not self._settled(container, look):
            time.sleep(_POLL_SECONDS)
        with self._changed:
            if self._looks.get(container) is look:
                del self._looks[container]

    def _settled(self, container: str, look: object) -> bool:
        try:
            found = self._found(container)
            member = self.members.get(container)
            known = member is not None and member.healthy_since == found.started_at
            failed = self._failed.get(container)
            if found.running and failed is not None and failed.started_at == found.started_at:
                return True  # it is asked on
            serves = found.running and (known or found.health_problem() is None)
            with self._changed:
                if self._looks.get(container) is not look:
                    return True
                if serves and self._show(found):
                    return True
                self._hide(container)
                return not found.running
        except AgentError:
            self._hide(container)
            return True
        except OSError as error:  # Docker is busy with it or being restarted
            with self._changed:
                if isinstance(error, DockerError) and container in self._unknown:
                    self._tell(container)  # so that the others do not wait for it
                return self._looks.get(container) is not look
        except Exception as odd:  # otherwise it would never be inspected again
            print(f"container {container[:12]} cannot be inspected: {odd!r}", flush=True)
            time.sleep(_SAVE_SECONDS)
            return self._looks.get(container) is not look

    def _found(self, container: str) -> Container:
        """Return a member.

        Raises:
            AgentError: It is no longer a member.
            OSError: Docker does not answer.
        """
        found = find(container)
        if found is None:
            self.members.remove(container)
            raise AgentError("there is no such container")
        if self.members.get(container) is None:
            raise AgentError("it has left meanwhile")
        return found

    def _await_health(self, container: str, seconds: float) -> Container:
        deadline = time.monotonic() + seconds
        while True:
            try:
                found = self._found(container)
                self.images.comes(found)
                problem = found.health_problem() if found.running else "it is not running"
                if problem is None:
                    if self._show(found):
                        return found
                    problem = "its process has just ended"
            except OSError as error:
                problem = f"Docker does not answer: {error}"
            if time.monotonic() > deadline:
                raise AgentError(f"is not healthy after {seconds:.0f} s: {problem}")
            time.sleep(_POLL_SECONDS)

    # Gatehouse's requests.

    def join(self, container: str, seconds: float) -> str:
        """Show a container to Traefik once it is healthy, and wait until Traefik has taken it up.

        Returns:
            The mark with which it may leave.

        Raises:
            AgentError: It is not healthy in time; it stays hidden.
        """
        member = self.members.get(container)
        try:
            if member is None:
                self.members.put(container, None)
            found = self._await_health(container, seconds)
            insist(lambda: limit(found))
            self._await_listed(found, seconds)
        except AgentError as error:
            if member is None:
                self.members.remove(container)
                self._hide(container)
            raise AgentError(f"container {container[:12]} {error}{last_lines(container)}") from None
        insist(lambda: self._remove_leftovers(found))
        self.images.serves(found, *insist(traefiks))
        threading.Thread(target=self.images.sweep, daemon=True).start()
        return self.members.mark(container)

    def _await_listed(self, container: Container, seconds: float) -> None:
        if not poll(lambda: all(self._listed(container)), seconds):
            raise AgentError(f"is healthy, but Traefik does not take it up within {seconds:.0f} s")

    def _remove_leftovers(self, joined: Container) -> None:
        """Remove containers for the same slot that were made before and never joined.

        An update that was killed has left them, and no state knows of them.
        """
        slot = joined.labels.get(_SLOT_LABEL)
        if slot is None:
            return
        wanted = json.dumps({"label": [f"{_SLOT_LABEL}={slot}"]})
        there = _list(f"/containers/json?all=1&filters={wanted}".replace(" ", ""))
        own = next((each["Created"] for each in there if each["Id"] == joined.id), 0)
        for each in there:
            ours = _SLOT_LABEL in (each["Labels"] or {}).get(OWN_LABEL, "").split()
            if ours and each["Created"] < own and self.members.get(each["Id"]) is None:
                subprocess.run(("docker", "rm", "--force", each["Id"]), check=False)

    def leave(self, container: str, grace: float, mark: str | None = None) -> str:
        """Hide a container, and wait until its requests in flight are over or the time is.

        Args:
            container: Its id.
            grace: The time, in seconds.
            mark: That of the join to undo; None for any.

        Returns:
            A text for the user.
        """
        member = self.members.get(container)
        if member is not None and mark is not None and member.mark not in ("", mark):
            return "it has joined again since, so it stays"
        self.members.remove(container)
        self._hide(container)
        found = insist(lambda: find(container))
        if found is not None:
            self._look_after_images(found)
        if found is None or not found.running:
            return "it does not run"
        if not poll(lambda: not any(self._listed(found)), _FORGET_SECONDS):
            return f"Traefik has not forgotten it after {_FORGET_SECONDS:.0f} s"
        return await_quiet([found], grace)

    def _look_after_images(self, leaves: Container) -> None:
        with self._changed:
            left = {each.plain_service for each in self._shown.values()}
        if leaves.plain_service not in left:
            self.images.ends(leaves.plain_service)
        threading.Thread(target=self.images.sweep, daemon=True).start()

    def evacuate(self, grace: float) -> str:
        """Wait until no request is in flight or the time is over, and stop all containers."""
        found = find_all(member.id for member in self.members)
        running = [each for each in found if each.running]
        said = await_quiet(running, grace)
        if running:
            ids = [each.id for each in running]
            subprocess.run(("docker", "stop", "--time", f"{grace:.0f}", *ids), check=False)
        return said

    def _listed(self, container: Container) -> list[bool]:
        """Return for each Traefik that answers whether it sends requests to the container."""
        return self._sends(container, insist(traefiks))

    def _sends(self, container: Container, asked: list[Container]) -> list[bool]:
        return [
            container.at in [server.get("url") or server.get("address") for server in servers]
            for servers in (known_servers(each, container, self._login) for each in asked)
            if servers is not None
        ]


def await_quiet(containers: list[Container], grace: float) -> str:
    """Wait until nothing is in flight in any of the containers or the time is over."""
    began = quiet_since = time.monotonic()
    while True:
        now = time.monotonic()
        count = sum(container.connections() for container in containers)
        if count:
            quiet_since = now
        if now - quiet_since >= _QUIET_SECONDS:
            return f"nothing in flight after {now - began:.1f} s"
        if now - began > grace + _QUIET_SECONDS:
            return f"{count} connections are still open after {grace:.0f} s and will be cut"
        time.sleep(_POLL_SECONDS)


def traefiks() -> list[Container]:
    """Return the Traefiks that run here: two while one takes over from the other."""
    found = [find(each["Id"]) for each in listed(TRAEFIK_LABEL)]
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
    return f"\n  Its last log lines:\n{logs.stdout}"


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Serves an agent on a socket that takes the place of an older one."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, path: Path, handler: type[socketserver.BaseRequestHandler], agent: Agent):
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        super().__init__(str(path), handler)
        self.agent = agent


class FilteredDocker(BaseHTTPRequestHandler):
    """Docker's API as Traefik sees it: to read, and only of containers that may serve."""

    protocol_version = "HTTP/1.1"
    server: UnixServer

    def log_message(self, *_: object) -> None:
        """Log nothing: Traefik asks often."""

    def do_POST(self) -> None:
        """Refuse every request that could change something."""
        self.close_connection = True  # the request's body has not been read
        self._answer(403, b'{"message":"not for Traefik: it may read only"}')

    do_PUT = do_DELETE = do_PATCH = do_POST  # noqa: N815 - http.server's names

    def do_HEAD(self) -> None:
        """Answer the client library's ping."""
        self.do_GET()

    def do_GET(self) -> None:
        """Answer an allowed request."""
        path = urlsplit(self.path).path
        try:
            if _EVENTS.fullmatch(path):
                self._events()
            elif _LIST.fullmatch(path):
                listed = [{"Id": each} for each in self.server.agent.shown()]
                self._answer(200, json.dumps(listed).encode())
            elif one := _ONE.fullmatch(path):
                found = self.server.agent.shown().get(one["id"])
                if found is None:
                    self._answer(404, b'{"message":"no such container, or it may not serve"}')
                else:
                    self._answer(200, json.dumps(found.told).encode())
            elif _ASKED_DOCKER.fullmatch(path):
                self._answer(*ask_docker(path))  # and nothing that may follow it
            else:
                self._answer(403, b'{"message":"not for Traefik"}')
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except OSError as error:
            self._answer(503, json.dumps({"message": str(error)}).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Api-Version", "1.40")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _events(self) -> None:
        """Write an event that has Traefik list the containers again after each change."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        # One at once: what changed between Traefik's list and this request would be missed. And
        # again after a while: if it cannot list, Traefik 3.7 waits for the next event.
        seen = self.server.agent.await_change(-1, 0)
        while True:
            self._write_event()
            seen = self.server.agent.await_change(seen, _TELL_AGAIN_SECONDS)

    def _write_event(self) -> None:
        event = {
            "Type": "container",
            "Action": "health_status: healthy",
            "Actor": {"ID": "gatehouse", "Attributes": {}},
            "time": int(time.time()),
        }
        line = json.dumps(event).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.flush()


class Control(socketserver.StreamRequestHandler):
    """One request of Gatehouse: a line of words; the answer is a JSON document."""

    server: UnixServer

    def handle(self) -> None:
        """Carry out the request, and answer with a text or an error."""
        line = self.rfile.readline().decode(errors="replace")
        what, *arguments = line.split() or [""]
        try:
            answer = {"said": self._do(what, arguments)}
        except (AgentError, OSError) as error:
            answer = {"error": str(error)}
        except Exception as odd:  # otherwise it would look as if the agent had ended
            answer = {"error": f"{line.strip()}: {odd!r}"}
        self.wfile.write(json.dumps(answer).encode())

    def _do(self, what: str, arguments: list[str]) -> str:
        agent = self.server.agent
        if what == "version":
            return _VERSION
        if what == "restart":
            threading.Thread(target=self.server.shutdown, daemon=True).start()
            return ""
        if what == "join":
            return agent.join(arguments[0], float(arguments[1]))
        if what == "leave":
            # An update from before there were marks says none.
            mark = arguments[2].removeprefix("mark=") if arguments[2:] else None
            return agent.leave(arguments[0], float(arguments[1]), mark)
        if what == "evacuate":
            return agent.evacuate(float(arguments[0]))
        raise AgentError(f"{what}: unknown request")


def certificate(folder: Path) -> str:
    """Return the part of Traefik's file that is a certificate for what the edge sends in TLS.

    Nobody verifies it. But without one, Traefik generates an RSA key after each change of a
    container, which delays the change by up to 0.3 s of processor time, more if emulated.
    """
    pair = folder / "pair.json"
    try:
        known = _pair(json.loads(pair.read_text()))
    except (OSError, ValueError, RecursionError):  # it is not there, or not whole
        command = (
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "36500", "-subj", "/CN=gatehouse", "-keyout", "/dev/stdout"),
        )
        try:
            told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            parts = re.findall(r"-----BEGIN [^-]+-----.*?-----END [^-]+-----\n", told, re.DOTALL)
            keys = [each for each in parts if "PRIVATE KEY" in each]
            others = [each for each in parts if each not in keys]
            known = _pair({"certFile": "".join(others[:1]), "keyFile": "".join(keys[:1])})
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            print(f"Traefik makes its own certificates: {error}", flush=True)
            return ""
        _write(pair, json.dumps(known), mode=0o600)
        for older in ("key.pem", "certificate.pem"):
            (folder / older).unlink(missing_ok=True)
    return f"tls: {{stores: {{default: {{defaultCertificate: {json.dumps(known)} }} }} }}\n"


def _pair(document: Any) -> dict[str, str]:
    """Return a certificate and its key; with invalid ones, Traefik ignores its whole file.

    Raises:
        ValueError: They are missing.
    """
    keys = ("certFile", "keyFile")
    found = document if isinstance(document, dict) else {}
    pems = {key: found.get(key) for key in keys}
    if all(isinstance(pem, str) and pem.startswith("-----BEGIN ") for pem in pems.values()):
        return {key: str(pem) for key, pem in pems.items()}
    raise ValueError("there is no certificate with its key")


def login(folder: Path) -> Mapping[str, str]:
    """Return the Authorization header for Traefik's API."""
    given = base64.b64encode(f"{_API_USER}:{_token(folder)}".encode()).decode()
    return {"Authorization": f"Basic {given}"}


def _token(folder: Path) -> str:
    file = folder / "token"
    with contextlib.suppress(OSError, ValueError):
        if found := file.read_text():
            return found
    with contextlib.suppress(OSError):
        file.rmdir()  # a folder would be in the way
    _write(file, secrets.token_urlsafe(32), mode=0o600)
    return file.read_text()


def write_files(folder: Path) -> None:
    """Write Traefik's files, each atomically, because a running Traefik reads them.

    They are world-readable, because Traefik's UID has no account on the VM. Only the agent may
    enter ``folder`` itself, and Traefik's container has no other path to it.
    """
    # What Traefik reads and the standard library writes; it is of 256 random bits.
    sha1 = hashlib.sha1(_token(folder).encode(), usedforsecurity=False)
    digest = base64.b64encode(sha1.digest()).decode()
    for name, text in (
        ("users", f"{_API_USER}:{{SHA}}{digest}\n"),
        ("nowhere.yml", NOWHERE + certificate(folder)),
    ):
        file = folder / "traefik" / name
        if not file.exists() or file.read_text() != text:
            _write(file, text, mode=0o644)


def _write_late(folder: Path) -> None:
    while not _written(folder):
        time.sleep(_SAVE_SECONDS)


def _written(folder: Path) -> bool:
    """Write Traefik's files, and return whether that succeeded; if not, the old ones stay."""
    try:
        write_files(folder)
    except OSError as error:
        print(f"Traefik keeps its old files, tried again: {error}", flush=True)
        return False
    return True


def _write(file: Path, text: str, mode: int) -> None:
    partial = file.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    try:
        partial.touch(mode=0o600)
        partial.write_text(text)
        partial.chmod(mode)
        partial.replace(file)
    except OSError:
        partial.unlink(missing_ok=True)  # what there is of it takes space too
        raise


def serve(folder: Path) -> None:
    """Run the daemon until a request to restart; systemd starts it again."""
    (folder / "traefik").mkdir(exist_ok=True)
    agent = Agent(folder)
    if not _written(folder):
        threading.Thread(target=_write_late, args=(folder,), daemon=True).start()
    control = UnixServer(folder / "control.sock", Control, agent)
    docker = UnixServer(folder / "traefik" / "docker.sock", FilteredDocker, agent)
    (folder / "traefik" / "docker.sock").chmod(0o666)  # for Traefik, as write_files says
    threading.Thread(target=agent.follow_docker, daemon=True).start()
    threading.Thread(target=docker.serve_forever, daemon=True).start()
    control.serve_forever()


def ask(folder: Path, *words: str) -> str:
    """Send a request to the daemon, and return its answer.

    Raises:
        AgentError: The daemon's error.
        OSError: It does not answer.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(folder / "control.sock"))
        connection.sendall(" ".join(words).encode() + b"\n")
        with connection.makefile() as reader:
            text = reader.read()
    if not text:
        raise OSError("the agent ended before it answered")
    answer: dict[str, str] = json.loads(text)
    if "error" in answer:
        raise AgentError(answer["error"])
    return answer["said"]


def await_deployed(folder: Path, seconds: float) -> None:
    """Wait until the running daemon has this text; ask one with an older text to restart.

    Raises:
        AgentError: It does not run in time.
    """

    def runs() -> bool:
        try:
            if ask(folder, "version") == _VERSION:
                return True
            ask(folder, "restart")
        except OSError:
            pass  # not started yet, or in between
        return False

    if not poll(runs, seconds):
        raise AgentError(
            f"the agent does not run after {seconds:.0f} s; see `journalctl -u gatehouse-agent` on"
            f" {socket.gethostname()}"
        )


def main(arguments: list[str]) -> int:
    """Run one of the commands; code 1 and the reason on stderr if it fails."""
    folder = Path(os.environ.get("GATEHOUSE_FOLDER", FOLDER))
    what, *rest = arguments
    try:
        if what == "serve":
            serve(Path(rest[0]))
        elif what == "deployed":
            await_deployed(folder, float(rest[0]))
        else:
            said = ask(folder, what, *rest)
            if said:
                print(said if what == "join" else f"{what}: {said}")
    except (AgentError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
