"""Servers that record their requests, and clients of every kind, none of which retries."""

import contextlib
import http.client
import http.server
import socket
import ssl
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import websockets.sync.server
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from tests.support.edge_clients import Http2Client, WebSocketClient

APP = "app.example.org"
SOCKETS = "sockets.example.org"
HEALTH = "/health"


@dataclass(frozen=True)
class Arrival:
    """A request that reached a server."""

    at: float
    """On the monotonic clock, in seconds."""
    address: str
    method: str
    id: str

    @property
    def sent(self) -> float:
        """When the client sent it, on the same clock."""
        return float(self.id.partition("-")[0])


@dataclass
class Servers:
    """HTTP servers on addresses of loopback, which answer with their address."""

    port: int
    arrivals: list[Arrival] = field(default_factory=list)
    hanging_up: set[str] = field(default_factory=set)
    """Addresses of those that close the connection in place of an answer."""
    closing: set[str] = field(default_factory=set)
    """Addresses of those that close a connection just when a second request comes on it."""
    refusing: set[str] = field(default_factory=set)
    """Addresses of those that answer everything, checks too, with 503."""
    late: set[str] = field(default_factory=set)
    """Addresses of those that do not pass their checks, and answer all else."""
    silent: set[str] = field(default_factory=set)
    """Addresses of those that do not answer until ``wake`` is set, but for checks."""
    wake: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def running(self, *addresses: str) -> Iterator[None]:
        """Serve on each of the addresses."""
        servers = [_Server((address, self.port), self) for address in addresses]
        threads = [
            threading.Thread(target=server.serve_forever, args=(0.05,)) for server in servers
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            for server in servers:
                server.shutdown()
                server.server_close()
            for thread in threads:
                thread.join()

    def ids(self) -> Counter[str]:
        """How often each request arrived."""
        return Counter(arrival.id for arrival in self.arrivals)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], servers: Servers) -> None:
        self.servers = servers
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: HAProxy's checks end their connections with a reset."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    asked = False
    """Whether there was a request on this connection."""

    def do_GET(self) -> None:
        name = str(self.server.server_address[0])
        servers = self.server.servers
        if self.path != HEALTH:
            servers.arrivals.append(
                Arrival(time.monotonic(), name, self.command, self.headers["X-Id"])
            )
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        too_late = self.asked and name in servers.closing
        if self.path != HEALTH and (too_late or name in servers.hanging_up):
            self.close_connection = True
            return
        self.asked = True
        if self.path != HEALTH and name in servers.silent:
            servers.wake.wait(30)
        body = name.encode() + sent
        late = self.path == HEALTH and name in servers.late
        self.send_response(503 if late or name in servers.refusing else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the name that the base class looks for

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def echoing(address: str, port: int) -> Iterator[None]:
    """Serve WebSockets that send back what they get."""

    def echo(connection: websockets.sync.server.ServerConnection) -> None:
        for message in connection:
            connection.send(message)

    def healthy(_: object, request: Request) -> Response | None:
        return Response(200, "OK", Headers()) if request.path == HEALTH else None

    with websockets.sync.server.serve(echo, address, port, process_request=healthy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@dataclass(frozen=True)
class Entrance:
    """The edge, as clients reach it."""

    address: tuple[str, int]
    authority: str | None = None
    """The PEM of the edge's certificate authority; None without TLS."""

    @property
    def scheme(self) -> str:
        """The scheme of URLs."""
        return "http" if self.authority is None else "https"

    def context(self, *alpn: str) -> ssl.SSLContext | None:
        """Return how to verify the edge, offering these protocols; None without TLS."""
        if self.authority is None:
            return None
        context = ssl.create_default_context(cadata=self.authority)
        context.set_alpn_protocols(list(alpn or ("http/1.1",)))
        return context

    def connect(self, name: str, *alpn: str, seconds: float = 10) -> socket.socket:
        """Return a connection to the edge, for a domain, that waits for so long."""
        plain = socket.create_connection(self.address, timeout=seconds)
        context = self.context(*alpn)
        return plain if context is None else context.wrap_socket(plain, server_hostname=name)

    def http(self, seconds: float = 10) -> http.client.HTTPConnection:
        """Return a client of HTTP/1.1 for the domain of the service."""
        return _Http(self, seconds)


class _Http(http.client.HTTPConnection):
    def __init__(self, entrance: Entrance, seconds: float) -> None:
        super().__init__(*entrance.address)
        self._entrance = entrance
        self._seconds = seconds

    def connect(self) -> None:
        self.sock = self._entrance.connect(APP, seconds=self._seconds)


@dataclass
class Load:
    """Clients that run until they are stopped, and their results."""

    entrance: Entrance
    done: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    _end: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def running(self, *clients: "Client") -> Iterator[None]:
        """Run each of the clients in a thread of its own."""
        threads = [threading.Thread(target=self._run, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._end.set()
            for thread in threads:
                thread.join()

    def _run(self, client: "Client") -> None:
        kind = client.__name__
        while not self._end.is_set():
            try:
                client(self)
            except Exception as error:
                self.errors.append(f"{kind}: {error!r}")

    def count(self, kind: str) -> None:
        """Note a request that went well."""
        self.done[kind] += 1

    def pause(self, seconds: float) -> bool:
        """Wait, and return whether to go on."""
        return not self._end.wait(seconds)


Client = Callable[[Load], None]


def new_id() -> str:
    """Return an id for a request that is about to be sent."""
    return f"{time.monotonic()}-{uuid.uuid4().hex}"


def exchange(
    connection: http.client.HTTPConnection, method: str = "GET", path: str = "/"
) -> tuple[int, str]:
    """Send one request with a unique id, and return the answer's status and body."""
    connection.request(method, path, headers={"Host": APP, "X-Id": new_id()})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def new_connections(load: Load) -> None:
    """A connection for each request."""
    while load.pause(0.02):
        with contextlib.closing(load.entrance.http()) as connection:
            status, _ = exchange(connection)
            assert status == 200, status
        load.count("new_connections")


def _keep_alive(load: Load, kind: str, pause: float) -> None:
    with contextlib.closing(load.entrance.http()) as connection:
        while load.pause(pause):
            status, _ = exchange(connection)
            assert status == 200, status
            load.count(kind)


def keep_alive(load: Load) -> None:
    """One connection for all requests, until the edge says in an answer that it closes it."""
    _keep_alive(load, "keep_alive", 0.02)


def slow_keep_alive(load: Load) -> None:
    """The same, idle for longer than a few reloads take."""
    _keep_alive(load, "slow_keep_alive", 0.5)


def posts(load: Load) -> None:
    """A body that takes a while, often longer than a reload."""
    with contextlib.closing(load.entrance.http()) as connection:
        while load.pause(0.01):
            connection.putrequest("POST", "/", skip_host=True)
            headers = {"Host": APP, "X-Id": new_id(), "Content-Length": "30"}
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            for _ in range(3):
                load.pause(0.05)
                connection.send(b"0123456789")
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, answer.status
            assert body.endswith(b"0123456789" * 3), body
            load.count("posts")


def _websocket(load: Load) -> WebSocketClient:
    return WebSocketClient(load.entrance.connect(SOCKETS), load.entrance.scheme, SOCKETS)


def long_websocket(load: Load) -> None:
    """One connection that stays."""
    with _websocket(load) as connection:
        while load.pause(0.05):
            connection.echo()
            load.count("long_websocket")
        connection.close()


def short_websockets(load: Load) -> None:
    """A connection for a few messages."""
    while load.pause(0.05):
        with _websocket(load) as connection:
            for _ in range(3):
                connection.echo()
            connection.close()
        load.count("short_websockets")


def http2(load: Load) -> None:
    """HTTP/2: one connection until the edge sends a GOAWAY."""
    entrance = load.entrance
    with Http2Client(entrance.connect(APP, "h2"), entrance.scheme, APP) as client:
        while load.pause(0.02) and client.may_request():
            status = client.get(new_id())
            assert status == "200", status
            load.count("http2")
