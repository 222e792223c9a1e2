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
from components.models.edge import Edge as EdgeConfig
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
        return render([pool], EdgeConfig(bind="127.0.0.1", port=self.port), str(self.folder))

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


CHECKED = """backend {pool}
    http-check send meth GET uri / ver HTTP/1.1 hdr Host a.example.org
"""
HEADER = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state …\n"


def config(*servers: str) -> str:
    return CHECKED.format(pool="app") + "".join(f"    server {server}\n" for server in servers)


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        (["a 10.0.0.1:80 weight 1"], ["a 10.0.0.1:80 weight 2"], ["a"]),
        (["a 10.0.0.1:80", "b 10.0.0.2:80"], ["b 10.0.0.2:80", "c 10.0.0.3:80"], ["b"]),
        (["a 10.0.0.1:80"], ["a 10.0.0.2:80"], []),
        (["a 10.0.0.1:80"], ["a 10.0.0.1:8080"], []),
        (["a 10.0.0.1:80", "b 10.0.0.2:80"], ["a 10.0.0.2:80", "b 10.0.0.1:80"], []),
        ([], ["a 10.0.0.1:80"], []),
        (["a 10.0.0.1:80"], [], []),
    ],
    ids=["same", "one-stays", "moved", "other-port", "swapped", "new", "gone"],
)
def test_only_the_state_of_servers_that_stay_is_kept(
    before: list[str], after: list[str], kept: list[str]
) -> None:
    lines = {
        server.split()[0]: f"3 app 1 {server.split()[0]} 10.0.0.1 0 0 1 1" for server in before
    }
    dump = HEADER + "".join(f"{line}\n" for line in lines.values()) + "\n"
    state = apply.kept_state(dump, config(*before), config(*after))
    assert state == "1\n" + "".join(f"{lines[server]}\n" for server in kept)


def test_the_same_server_in_another_pool_is_another() -> None:
    other = CHECKED.format(pool="shop") + "    server a 10.0.0.1:80\n"
    line = "3 app 1 a 10.0.0.1 0 0 1 1\n"
    assert apply.kept_state(f"{HEADER}{line}", config("a 10.0.0.1:80"), other) == "1\n"


def test_no_answer_is_no_state() -> None:
    assert apply.kept_state("", config("a 10.0.0.1:80"), config("a 10.0.0.1:80")) == "1\n"


def test_a_folder_that_the_workers_cannot_reach_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    made = Edge(tmp_path / "edge")
    with server() as backend:
        result = made.run("apply", made.text(backend))
    assert result.returncode == 1
    assert f"the user haproxy cannot pass through {tmp_path}; run `chmod o+x" in result.stderr


def test_the_unit_brings_the_edge_back_always_and_at_once() -> None:
    unit = apply.unit_text("prod", ["/usr/sbin/haproxy", "-Ws"])
    assert "Description=Gatehouse edge prod\n" in unit
    assert "Restart=always\nRestartSec=200ms\n" in unit
    assert "StartLimitIntervalSec=0\n\n[Service]" in unit


def test_nothing_of_it_is_left_running(edge: Edge) -> None:
    with server() as backend:
        assert edge.run("apply", edge.text(backend)).returncode == 0
        assert edge.run("remove").returncode == 0
    folder = str(edge.folder).encode()
    running = [
        line
        for process in Path("/proc").glob("[0-9]*")
        if folder in (line := _command_line(process))
    ]
    assert running == []


def _command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""
