"""The edge's script, run as an update runs it, for a real HAProxy on loopback."""

import contextlib
import http.client
import http.server
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from components.config.models.edge import Edge as EdgeConfig
from components.config.models.edge import Stats
from components.edge.backends import Backend, Server
from components.edge.haproxy import BODIES, render
from components.edge.routes import MAP
from lab.loopback.ports import free_ports
from lab.web import get
from remote.archive import EDGE_AGENT, archive
from remote.edge_agent import facts, memory, seal, users
from remote.edge_agent.bundle import Bundle, pack, unpack
from remote.edge_agent.instance import Instance, Worker
from remote.shipping import archive_command


class _Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = f"{self.server.server_port}".encode()  # type: ignore[attr-defined]
        known = self.headers["Host"] == "app.example.org" and self.path != "/broken"
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def server() -> Iterator[str]:
    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{listening.server_port}"
    finally:
        listening.shutdown()
        listening.server_close()


class Edge:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.stats = free_ports(2)
        self.config = EdgeConfig(
            bind="127.0.0.1",
            port=self.port,
            stats=Stats(port=self.stats),
            max_connections=5000,  # else the host's memory says it
        )

    def text(self, *addresses: str, path: str = "/") -> str:
        servers = tuple(
            Server(name=f"web-{index}", address=address, weight=1)
            for index, address in enumerate(addresses)
        )
        app = Backend(
            name="app",
            hosts=("app.example.org",),
            path="",
            check_host="app.example.org",
            check_path=path,
            check_timeout=1,
            servers=servers,
        )
        return pack(render([app], self.config, str(self.folder)))

    def run(
        self, action: str, text: str = "", seconds: float = 10
    ) -> subprocess.CompletedProcess[str]:
        words = (str(seconds),) if action == "apply" else ()
        command = archive_command(archive(EDGE_AGENT), action, str(self.folder), "test", *words)
        given = seal.sealed(text) if action in {"apply", "users"} else ""
        return subprocess.run(
            ["/bin/sh", "-c", command], check=False, input=given, capture_output=True, text=True
        )

    def live(self) -> str:
        """Return what the worker runs, as it would be given."""
        worker = Instance(str(self.folder), "test").worker()
        assert worker is not None
        given = worker.version.given()
        checks = len(facts.read(given.files).checks)
        limit = memory.limited(Bundle("", {}), self.config.max_connections, checks=checks).config
        files = {name: given.files[name] for name in (MAP, BODIES, facts.FILE)}
        return pack(Bundle(given.config.removesuffix(limit), files))

    def get(self) -> tuple[int, str]:
        return get(f"127.0.0.1:{self.port}", "http://app.example.org/")


@contextlib.contextmanager
def an_edge() -> Iterator[Edge]:
    """Yield an edge that serves nothing yet, and is removed at the end."""
    # Not pytest's own folder, whose path is too long for a socket's.
    with tempfile.TemporaryDirectory() as folder:
        made = Edge(Path(folder) / "edge")
        yield made
        made.run("remove")


def with_page(edge: Edge, backend: str, page: str) -> str:
    """Return a text whose route for `/page` answers with a file."""
    rule = f'errorfile 503 "{edge.folder}/files/errors/page.http"\n    http-request deny'
    text = edge.text(backend).replace(
        "frontend http\n", f"frontend http\n    {rule} deny_status 503 if {{ path /page }}\n"
    )
    given = unpack(text)
    return pack(Bundle(given.config, {**given.files, "errors/page.http": page}))


def page(edge: Edge) -> str:
    return get(f"127.0.0.1:{edge.port}", "http://app.example.org/page")[1]


def guarded(edge: Edge, backend: str, userlists: str) -> str:
    """Return a text whose one service is for the users of a list."""
    text = edge.text(backend).replace(
        "    option httpchk\n",
        "    option httpchk\n    http-request auth realm app unless { http_auth(app) }\n",
    )
    given = unpack(text)
    known = replace(facts.read(given.files), users=users.digest(userlists))
    return pack(Bundle(given.config, {**given.files, facts.FILE: facts.text(known)}))


def hashed(password: str) -> str:
    command = ("openssl", "passwd", "-6", password)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def worker_of(edge: Edge) -> Worker:
    found = Instance(str(edge.folder), "test").worker()
    assert found is not None
    return found
