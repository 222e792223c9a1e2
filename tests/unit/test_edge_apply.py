"""The edge's script against a real HAProxy on loopback: check, swap, reload, and what fails."""

import contextlib
import http.server
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.edge import apply
from components.edge.haproxy import render
from components.edge.pools import Pool, Server
from components.scripts import python_command
from lab.web import get

pytestmark = [
    pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed here"),
    pytest.mark.skipif(os.geteuid() != 0, reason="the edge's HAProxy is started by root"),
]


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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Edge:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()

    def text(self, *addresses: str, path: str = "/") -> str:
        servers = tuple(
            Server(name=f"web-{index}", address=address, weight=1)
            for index, address in enumerate(addresses)
        )
        pool = Pool(
            name="app",
            hosts=("app.example.org",),
            path="",
            check_host="app.example.org",
            check_path=path,
            check_timeout=1,
            servers=servers,
        )
        return render(
            [pool], folder=str(self.folder), bind="127.0.0.1", port=self.port, hard_stop_after=60
        )

    def run(
        self, action: str, text: str = "", seconds: float = 10
    ) -> subprocess.CompletedProcess[str]:
        arguments = (action, str(self.folder), "test", str(seconds))
        command = python_command(apply.__file__, *arguments)
        return subprocess.run(
            ["/bin/sh", "-c", command], check=False, input=text, capture_output=True, text=True
        )

    def get(self) -> tuple[int, str]:
        return get(f"127.0.0.1:{self.port}", "http://app.example.org/")


@pytest.fixture
def edge() -> Iterator[Edge]:
    # Not pytest's own folder, which nobody but root can pass through.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        made = Edge(Path(folder) / "edge")
        yield made
        made.run("remove")


def test_it_starts_serves_and_goes(edge: Edge) -> None:
    with server() as backend:
        result = edge.run("apply", edge.text(backend))
        assert result.returncode == 0, result.stderr
        assert edge.get() == (200, backend.split(":")[1])
        assert edge.folder.stat().st_mode & 0o777 == 0o710
        assert edge.run("remove").returncode == 0
    assert not edge.folder.exists()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", edge.port))


def test_a_change_is_in_force_when_the_script_ends(edge: Edge) -> None:
    with server() as first, server() as second:
        edge.run("apply", edge.text(first))
        result = edge.run("apply", edge.text(second))
        assert result.returncode == 0, result.stderr
        assert edge.get() == (200, second.split(":")[1])


def test_the_same_text_again_reloads_nothing(edge: Edge) -> None:
    with server() as backend:
        edge.run("apply", edge.text(backend))
        before = apply.Instance(str(edge.folder), "test").reloads()
        assert edge.run("apply", edge.text(backend)).returncode == 0
        assert apply.Instance(str(edge.folder), "test").reloads() == before


def test_text_that_haproxy_refuses_leaves_the_old_edge(edge: Edge) -> None:
    with server() as backend:
        good = edge.text(backend)
        edge.run("apply", good)
        result = edge.run("apply", good.replace("weight 1", "weigth 1"))
        assert result.returncode == 1
        assert "unknown keyword 'weigth'" in result.stderr
        assert edge.get()[0] == 200
        assert (edge.folder / "haproxy.cfg").read_text() == good
        assert not (edge.folder / "haproxy.cfg.new").exists()


def test_a_server_that_does_not_pass_its_check_is_not_let_in(edge: Edge) -> None:
    with server() as backend:
        good = edge.text(backend)
        edge.run("apply", good)
        result = edge.run("apply", edge.text(backend, f"127.0.0.1:{free_port()}"), seconds=0.5)
        assert result.returncode == 1
        assert "services.app on web-1" in result.stderr
        assert "refused" in result.stderr
        assert (edge.folder / "haproxy.cfg").read_text() == good


def test_a_check_that_is_answered_with_an_error_is_told_with_its_status(edge: Edge) -> None:
    with server() as backend:
        result = edge.run("apply", edge.text(backend, path="/broken"), seconds=0.5)
        assert result.returncode == 1
        assert f"http://{backend}/broken with Host app.example.org" in result.stderr
        assert "it answers with status 404" in result.stderr


def test_a_port_in_use_is_named_before_anything_starts(edge: Edge) -> None:
    with server() as backend, socket.create_server(("127.0.0.1", edge.port)):
        result = edge.run("apply", edge.text(backend))
        assert result.returncode == 1
        assert (
            f"edge.bind 127.0.0.1, edge.port {edge.port}: Address already in use" in result.stderr
        )
    assert not (edge.folder / "haproxy.cfg").exists()


def test_a_reload_that_fails_leaves_the_old_edge_and_the_old_file(edge: Edge) -> None:
    with server() as backend:
        good = edge.text(backend)
        edge.run("apply", good)
        # HAProxy's check does not bind, so only the reload can find this out.
        bad = good.replace(
            "frontend http\n", f"frontend http\n    bind {edge.folder}/none/here.sock\n"
        ).replace(f"bind {edge.folder}", f"bind unix@{edge.folder}")
        result = edge.run("apply", bad)
        assert result.returncode == 1
        assert "could not take up the new configuration" in result.stderr
        assert edge.get()[0] == 200
        assert (edge.folder / "haproxy.cfg").read_text() == good
        assert edge.run("apply", edge.text(backend, backend)).returncode == 0, "and it can go on"


def test_removing_what_is_not_there_is_fine(edge: Edge) -> None:
    assert edge.run("remove").returncode == 0


def test_the_checks_are_read_from_the_text_that_haproxy_gets(edge: Edge) -> None:
    assert apply.checks(edge.text("10.0.0.1:80", path="/up")) == {
        apply.Check(
            pool="app",
            server="web-0",
            address="10.0.0.1:80",
            host="app.example.org",
            path="/up",
        )
    }


def test_the_script_is_plain_python_of_the_standard_library() -> None:
    imported = [
        line.split()[1].split(".")[0]
        for line in Path(apply.__file__).read_text().splitlines()
        if line.startswith(("import ", "from "))
    ]
    assert set(imported) <= set(sys.stdlib_module_names)
