"""The edge's script against a real HAProxy on loopback: check, swap, reload, and what fails."""

import base64
import contextlib
import http.client
import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from components.config.models.edge import Edge as EdgeConfig
from components.config.models.edge import Stats
from components.edge.backends import Backend, Server, TcpBackend
from components.edge.haproxy import BODIES, render
from components.edge.routes import MAP
from lab.loopback.ports import free_ports
from lab.web import get
from remote.archive import EDGE_AGENT, archive
from remote.edge_agent import (
    bundle,
    control,
    facts,
    logfile,
    memory,
    seal,
    upgraded,
    users,
    versions,
)
from remote.edge_agent.apply import apply
from remote.edge_agent.bundle import Bundle, pack, unpack
from remote.edge_agent.checks import Check, kept_state
from remote.edge_agent.control import NoAnswerError
from remote.edge_agent.instance import Instance, Worker, without_requests
from remote.edge_agent.system import EdgeError, poll
from remote.edge_agent.systemd import unit_text
from remote.shipping import archive_command

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


@pytest.fixture
def edge() -> Iterator[Edge]:
    # Not pytest's own folder, whose path is too long for a socket's.
    with tempfile.TemporaryDirectory() as folder:
        made = Edge(Path(folder) / "edge")
        yield made
        made.run("remove")


def test_it_starts_serves_and_goes(edge: Edge) -> None:
    with server() as backend:
        result = edge.run("apply", edge.text(backend))
        assert result.returncode == 0, result.stderr
        assert edge.get() == (200, backend.split(":")[1])
        assert edge.folder.stat().st_mode & 0o777 == 0o700
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
        before = Instance(str(edge.folder), "test").reloads()
        assert edge.run("apply", edge.text(backend)).returncode == 0
        assert Instance(str(edge.folder), "test").reloads() == before


def test_text_that_haproxy_refuses_leaves_the_old_edge(edge: Edge) -> None:
    with server() as backend:
        good = edge.text(backend)
        edge.run("apply", good)
        result = edge.run("apply", good.replace("weight 1", "weigth 1"))
        assert result.returncode == 1
        assert "unknown keyword 'weigth'" in result.stderr
        assert edge.get()[0] == 200
        assert edge.live() == good
        assert len(list((edge.folder / "versions").iterdir())) == 1


def test_a_server_that_does_not_pass_its_check_is_not_let_in(edge: Edge) -> None:
    with server() as backend:
        good = edge.text(backend)
        edge.run("apply", good)
        result = edge.run("apply", edge.text(backend, f"127.0.0.1:{free_ports(1)[0]}"), seconds=0.5)
        assert result.returncode == 1
        assert "services.app on web-1" in result.stderr
        assert "refused" in result.stderr
        assert edge.live() == good


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


def test_the_port_of_the_page_is_named_by_its_own_key(edge: Edge) -> None:
    with server() as backend, socket.create_server(("127.0.0.1", edge.stats)):
        result = edge.run("apply", edge.text(backend))
    assert (
        f"edge.stats.bind 127.0.0.1, edge.stats.port {edge.stats}: Address already in use"
        in result.stderr
    )


def test_the_port_of_a_tcp_service_in_use_is_named_by_its_key(edge: Edge) -> None:
    with server() as backend, socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        database = TcpBackend(
            name="db",
            port=port,
            known_as="_db._tcp",
            idle_timeout=1,
            check_timeout=1,
            servers=(Server(name="web-0", address=backend, weight=1),),
        )
        text = pack(render([database], edge.config, str(edge.folder)))
        result = edge.run("apply", text)
        assert result.returncode == 1
        assert (
            f"edge.bind 127.0.0.1, services.db.tcp.port {port}: Address already in use"
            in result.stderr
        )
        assert edge.run("apply", edge.text(backend)).returncode == 0


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
        assert "could not load the new configuration" in result.stderr
        assert edge.get()[0] == 200
        assert edge.live() == good
        assert edge.run("apply", edge.text(backend, backend)).returncode == 0, "and it can go on"


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


def test_files_are_checked_swapped_and_restored_with_the_text(edge: Edge) -> None:
    head = "HTTP/1.1 503 Busy\r\nContent-Length: 3\r\n\r\n"
    kept = edge.folder / "files/errors/page.http"
    with server() as backend:
        result = edge.run("apply", with_page(edge, backend, f"{head}one"))
        assert result.returncode == 0, result.stderr
        assert page(edge) == "one"
        assert edge.run("apply", with_page(edge, backend, f"{head}two")).returncode == 0
        assert page(edge) == "two", "a file alone changed"
        refused = edge.run("apply", with_page(edge, backend, "no HTTP\r\n\r\n"))
        assert refused.returncode == 1
        assert str(kept) in refused.stderr, "by the name that it would have had"
        bad = with_page(edge, backend, f"{head}bad").replace(
            "frontend http\n", f"frontend http\n    bind unix@{edge.folder}/none/here.sock\n"
        )
        assert "could not load the new" in edge.run("apply", bad).stderr
        assert (page(edge), kept.read_bytes()) == ("two", f"{head}two".encode())
        assert edge.run("apply", edge.text(backend)).returncode == 0
        assert {each.name for each in (edge.folder / "files").iterdir()} == {
            *(MAP, BODIES, facts.FILE)
        }


def test_routes_are_checked_swapped_and_put_back_with_the_text(edge: Edge) -> None:
    kept = edge.folder / "files" / MAP
    with server() as backend:
        good = edge.text(backend)
        assert edge.run("apply", good).returncode == 0
        assert kept.read_text() == "app.example.org/ app\n"
        moved = good.replace("\napp.example.org/ app", "\nother.example.org/ app")
        # HAProxy's check does not bind, so only the reload can find this out.
        bad = moved.replace(
            "frontend http\n", f"frontend http\n    bind unix@{edge.folder}/none/here.sock\n"
        )
        assert "could not load the new" in edge.run("apply", bad).stderr
        assert kept.read_text() == "app.example.org/ app\n"
        assert edge.get()[0] == 200
        before = Instance(str(edge.folder), "test").reloads()
        assert edge.run("apply", moved).returncode == 0
        assert edge.get()[0] == 404, "a line of the map alone changed"
        assert before is not None
        assert Instance(str(edge.folder), "test").reloads() == (before[0] + 1, 0)


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


def test_users_are_kept_apart_checked_swapped_and_put_back_with_the_text(edge: Edge) -> None:
    one, two = (f"userlist app\n    user alice password {hashed(each)}" for each in ("a", "b"))

    def status(password: str) -> int:
        token = base64.b64encode(f"alice:{password}".encode()).decode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{edge.port}/",
            headers={"Host": "app.example.org", "Authorization": f"Basic {token}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    with server() as backend:
        missing = edge.run("apply", guarded(edge, backend, one))
        assert missing.returncode == 1
        assert "the users of services are not on this machine" in missing.stderr
        assert edge.run("users", one).returncode == 0
        assert edge.run("apply", guarded(edge, backend, one)).returncode == 0
        assert (status("a"), status("b"), edge.get()[0]) == (200, 401, 401)
        live = edge.folder / "haproxy.cfg"
        assert live.stat().st_mode & 0o777 == 0o600
        assert edge.run("users", two).returncode == 0
        assert status("a") == 200, "until the text says so too"
        assert edge.run("apply", guarded(edge, backend, two)).returncode == 0
        assert (status("a"), status("b")) == (401, 200)
        assert len(list((edge.folder / "users").iterdir())) == 1
        wrong = "userlist app\n    user alice\n    nonsense\n"
        assert edge.run("users", wrong).returncode == 0
        refused = edge.run("apply", guarded(edge, backend, wrong))
        assert "refuses" in refused.stderr
        assert (status("a"), status("b")) == (401, 200)
        assert edge.run("apply", edge.text(backend)).returncode == 0
        assert edge.get()[0] == 200
        assert list((edge.folder / "users").iterdir()) == []


def damaged_live(folder: Path) -> None:
    (folder / "haproxy.cfg").write_bytes(b"\xff\xfe\0")


def damaged_version(folder: Path) -> None:
    for path in (folder / "versions").rglob("haproxy.cfg"):
        path.write_bytes(b"global\n\xff\xfe\0")


def damaged_files(folder: Path) -> None:
    for path in (folder / "versions").rglob("*.map"):
        path.write_bytes(b"\xff\xfe\0")


def no_versions(folder: Path) -> None:
    shutil.rmtree(folder / "versions")


def no_keeper(folder: Path) -> None:
    (folder / "keeper.pyz").unlink()


def all_configs(folder: Path) -> None:
    damaged_live(folder)
    damaged_version(folder)


def no_keeper_nor_versions(folder: Path) -> None:
    no_keeper(folder)
    no_versions(folder)


def no_keeper_nor_live(folder: Path) -> None:
    no_keeper(folder)
    (folder / "haproxy.cfg").write_text("")


def only_empty_files(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.write_text("")


@pytest.mark.parametrize(
    "damage",
    [
        *(damaged_live, damaged_version, damaged_files, no_versions, no_keeper, all_configs),
        *(no_keeper_nor_versions, no_keeper_nor_live, only_empty_files),
    ],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("same", [True, False], ids=["same", "changed"])
def test_what_was_damaged_is_replaced_by_the_next_update(
    edge: Edge, damage: Callable[[Path], None], same: bool
) -> None:
    with server() as first, server() as second:
        edge.run("apply", edge.text(first))
        damage(edge.folder)
        assert edge.run("renew").returncode == 0, "which runs every hour"
        assert edge.get() == (200, first.split(":")[1])
        wanted = first if same else second
        result = edge.run("apply", edge.text(wanted))
        assert result.returncode == 0, result.stderr
        assert edge.get() == (200, wanted.split(":")[1])
        assert edge.live() == edge.text(wanted)


def test_an_edge_that_lost_the_keepers_copy_is_removed(edge: Edge) -> None:
    with server() as backend:
        assert edge.run("apply", edge.text(backend)).returncode == 0
        no_keeper(edge.folder)
        removed = edge.run("remove")
    assert removed.returncode == 0, removed.stderr
    assert not edge.folder.exists()


def test_files_that_may_be_of_an_edge_are_left_alone_until_somebody_says_so(edge: Edge) -> None:
    with server() as backend:
        edge.folder.mkdir()
        (edge.folder / "access.log").write_text("{}\n")
        refused = edge.run("apply", edge.text(backend))
        assert "edge.folder: contains files that are not the edge's" in refused.stderr
        said = re.search(r"`(touch \S+)`", refused.stderr)
        assert said is not None
        assert not (edge.folder / "lock").exists()
        subprocess.run(said[1].split(), check=True)
        assert edge.run("apply", edge.text(backend)).returncode == 0
        assert edge.get()[0] == 200


def test_the_same_port_at_another_address_is_the_edges_own(edge: Edge) -> None:
    with server() as backend:
        for bind in ("127.0.0.1", "0.0.0.0", "127.0.0.1"):  # noqa: S104 - as the default has it
            edge.config = edge.config.model_copy(update={"bind": bind})
            result = edge.run("apply", edge.text(backend))
            assert result.returncode == 0, result.stderr
            assert edge.get()[0] == 200
        everywhere = edge.config.model_copy(update={"bind": "0.0.0.0"})  # noqa: S104
        edge.config = everywhere
        with socket.create_server(("127.0.0.2", edge.port)):
            refused = edge.run("apply", edge.text(backend))
            assert f"edge.port {edge.port}: Address already in use" in refused.stderr
        assert edge.get()[0] == 200


def test_damaged_users_are_not_let_into_force(edge: Edge) -> None:
    one = f"userlist app\n    user alice password {hashed('a')}"
    with server() as backend:
        assert edge.run("users", one).returncode == 0
        (kept,) = (edge.folder / "users").iterdir()
        for damage in (one.encode().replace(b"alice", b"\xffalice"), one[:-1].encode(), b""):
            kept.write_bytes(damage)
            refused = edge.run("apply", guarded(edge, backend, one))
            assert refused.returncode == 1
            assert "is damaged); run `pulumi up --replace '**edge-users'`" in refused.stderr
        assert edge.run("users", one).returncode == 0
        assert edge.run("apply", guarded(edge, backend, one)).returncode == 0


def test_a_copy_of_the_edge_agent_stays_with_the_edge(edge: Edge) -> None:
    with server() as backend:
        edge.run("apply", edge.text(backend))
    assert (edge.folder / "keeper.pyz").read_bytes() == archive(EDGE_AGENT)
    removed = subprocess.run(
        [sys.executable, edge.folder / "keeper.pyz", "remove", edge.folder, "test"], check=False
    )
    assert removed.returncode == 0
    assert not edge.folder.exists()


@pytest.mark.parametrize("action", ["remove", "renew"])
def test_another_name_for_an_edge_that_serves_is_refused(edge: Edge, action: str) -> None:
    with server() as backend:
        edge.run("apply", edge.text(backend))
        refused = subprocess.run(
            [sys.executable, edge.folder / "keeper.pyz", action, edge.folder, "prod"],
            check=False,
            capture_output=True,
            text=True,
        )
        assert refused.returncode == 1
        assert f"{edge.folder} is the folder of the edge test" in refused.stderr
        assert edge.get()[0] == 200


def test_removing_what_is_not_there_is_fine(edge: Edge) -> None:
    assert edge.run("remove").returncode == 0


def test_the_same_program_is_the_same_bytes_and_fits_a_command_line() -> None:
    assert archive(EDGE_AGENT) == archive(EDGE_AGENT)
    assert len(archive(EDGE_AGENT)) < 96 * 1024


HEADER = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state …\n"


def checked(*servers: str, backend: str = "app") -> set[Check]:
    names = (server.split() for server in servers)
    return {Check(backend, name, address, "a.example.org", "/") for name, address in names}


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        (["a 10.0.0.1:80"], ["a 10.0.0.1:80"], ["a"]),
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
    state = kept_state(dump, checked(*before), checked(*after))
    assert state == "1\n" + "".join(f"{lines[server]}\n" for server in kept)


def test_the_same_server_in_another_backend_is_another() -> None:
    other = checked("a 10.0.0.1:80", backend="shop")
    line = "3 app 1 a 10.0.0.1 0 0 1 1\n"
    assert kept_state(f"{HEADER}{line}", checked("a 10.0.0.1:80"), other) == "1\n"


def test_no_answer_is_no_state() -> None:
    assert kept_state("", checked("a 10.0.0.1:80"), checked("a 10.0.0.1:80")) == "1\n"


def test_the_log_is_a_file_of_bounded_size_where_no_journal_is(edge: Edge) -> None:
    with server() as backend:
        edge.run("apply", edge.text(backend))
        assert edge.get()[0] == 200
        instance = Instance(str(edge.folder), "test")
        log = instance.access_log
        assert poll(lambda: log.exists() and log.stat().st_size > 0, 10)
        (line,) = log.read_text().splitlines()
        assert json.loads(line)["status"] == 200
        assert edge.run("remove").returncode == 0
        assert not edge.folder.exists(), "and who writes it has ended"


def test_a_log_that_is_full_is_put_aside_once(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    logfile.write([b"one\n", b"two\n", b"three\n", b"four\n", b"five\n"], log, limit=10)
    assert log.read_bytes() == b"four\nfive\n"
    assert log.with_name("access.log.1").read_bytes() == b"three\n"
    assert {path.name for path in tmp_path.iterdir()} == {"access.log", "access.log.1"}


def test_a_log_is_written_in_whole_lines_as_soon_as_they_are_there() -> None:
    reading, writing = os.pipe()
    lines = logfile.blocks(reading)
    os.write(writing, b"one\ntwo\nthr")
    assert next(lines) == b"one\ntwo\n"
    os.write(writing, b"ee\n")
    assert next(lines) == b"three\n"
    os.write(writing, b"cut sho")
    os.close(writing)
    assert list(lines) == [b"cut sho"], "and what was begun is not lost"
    os.close(reading)


def test_what_haproxy_says_of_itself_is_found_among_requests() -> None:
    told = ["[ALERT] cannot bind", '{"time":1.0}', "backend app has no server available!"]
    assert without_requests(told) == [told[0], told[2]]


def test_a_log_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    logfile.write([b"one\n", b"two\n"], tmp_path / "gone" / "access.log")


def test_the_unit_brings_the_edge_back_always_and_at_once() -> None:
    unit = unit_text("prod", Path("/srv/prod"), ["/usr/sbin/haproxy", "-Ws"], ["true"])
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


def worker_of(edge: Edge) -> Worker:
    found = Instance(str(edge.folder), "test").worker()
    assert found is not None
    return found


def test_what_is_in_the_file_but_not_in_the_worker_is_not_in_force(edge: Edge) -> None:
    with server() as first, server() as second:
        assert edge.run("apply", edge.text(first)).returncode == 0
        live = edge.folder / "haproxy.cfg"
        # As a run leaves it that is killed between its swap and its reload.
        live.write_text(live.read_text().replace(first, second))
        assert edge.run("apply", edge.text(second)).returncode == 0
        assert edge.get() == (200, second.split(":")[1])
        # Nor is what was loaded by hand.
        live.write_text(live.read_text().replace(second, first))
        assert Instance(str(edge.folder), "test").reload()
        assert edge.get() == (200, first.split(":")[1])
        assert edge.run("apply", edge.text(second)).returncode == 0
        assert edge.get() == (200, second.split(":")[1])


def test_a_worker_that_does_not_answer_is_not_taken_for_one_that_does_not_run(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "SECONDS", 0.5)
    with server() as first, server() as second:
        assert edge.run("apply", edge.text(first)).returncode == 0
        live, worker = (edge.folder / "haproxy.cfg").read_text(), worker_of(edge)
        os.kill(worker.pid, signal.SIGSTOP)
        try:
            with pytest.raises(NoAnswerError, match="HAProxy does not answer `@1 show info`"):
                apply(Instance(str(edge.folder), "test"), edge.text(second), 10)
        finally:
            os.kill(worker.pid, signal.SIGCONT)
        assert (edge.folder / "haproxy.cfg").read_text() == live
        assert worker_of(edge) == worker
        assert edge.run("apply", edge.text(second)).returncode == 0
        assert edge.get() == (200, second.split(":")[1])


def test_an_old_worker_that_does_not_leave_is_an_error_until_it_is_gone(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "SECONDS", 0.2)
    monkeypatch.setattr("remote.edge_agent.instance._START_SECONDS", 1)
    with server() as first, server() as second:
        assert edge.run("apply", edge.text(first)).returncode == 0
        old = worker_of(edge).pid
        os.kill(old, signal.SIGSTOP)
        bundle.write_file(
            edge.folder / "haproxy.cfg",
            versions.write(edge.folder, unpack(edge.text(second))).config.read_text(),
        )
        control.ask(edge.folder / "master.sock", "reload")
        assert poll(lambda: worker_of_now(edge) not in {old, None}, 10)
        with pytest.raises(EdgeError, match=rf"old workers \(pid {old}\) do not confirm"):
            apply(Instance(str(edge.folder), "test"), edge.text(second), 10)
        os.kill(old, signal.SIGKILL)
        assert poll(lambda: edge.run("apply", edge.text(second)).returncode == 0, 30)
        assert edge.get() == (200, second.split(":")[1])


def worker_of_now(edge: Edge) -> int | None:
    found = Instance(str(edge.folder), "test").worker()
    return None if found is None else found.pid


def test_a_text_that_ends_early_changes_nothing(edge: Edge) -> None:
    with server() as backend:
        good = edge.text(backend)
        assert edge.run("apply", good).returncode == 0
        worker = worker_of(edge)
        for given in (
            seal.sealed(edge.text(backend, backend))[:-44],
            seal.sealed(edge.text(backend, backend)).partition("#= ")[0],
            "",
        ):
            command = archive_command(archive(EDGE_AGENT), "apply", str(edge.folder), "test", "10")
            done = subprocess.run(
                ["/bin/sh", "-c", command], input=given, capture_output=True, text=True
            )
            assert done.returncode == 1
            assert "the input ends early" in done.stderr
        assert worker_of(edge) == worker
        assert edge.live() == good


def test_another_folder_is_refused_by_its_key_and_nothing_is_done(
    edge: Edge, tmp_path: Path
) -> None:
    with server() as backend:
        assert edge.run("apply", edge.text(backend)).returncode == 0
        other = Edge(tmp_path / "other")
        other.port, other.stats, other.config = edge.port, edge.stats, edge.config
        refused = other.run("apply", other.text(backend))
        assert refused.returncode == 1
        assert refused.stderr.startswith("edge test: edge.folder: the edge of the stack test ")
        assert f"is in {edge.folder} and does not move" in refused.stderr
        assert not other.folder.exists()
        assert edge.get()[0] == 200


def test_an_haproxy_that_was_upgraded_is_reloaded_and_nothing_is_lost(
    edge: Edge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "haproxy"
    shutil.copy(shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin") or "", program)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with server() as backend:
        assert edge.run("apply", edge.text(backend)).returncode == 0
        instance = Instance(str(edge.folder), "test")
        before, version = worker_of(edge), instance.reloads()
        quiet = edge.run("renew")
        assert (quiet.returncode, quiet.stdout) == (0, ""), quiet.stderr
        assert worker_of(edge) == before
        kept = http.client.HTTPConnection("127.0.0.1", edge.port)
        kept.request("GET", "/", headers={"Host": "app.example.org"})
        assert kept.getresponse().read()
        shutil.copy(program, tmp_path / "new")
        (tmp_path / "new").replace(program)
        done = edge.run("renew")
        assert done.returncode == 0, done.stderr
        assert "HAProxy was upgraded, and now runs the new version" in done.stdout
        assert worker_of(edge).pid != before.pid
        assert worker_of(edge).version == before.version
        assert instance.reloads() != version
        assert not upgraded.is_outdated(worker_of(edge).pid)
        assert not upgraded.is_outdated(int(instance.pid_file.read_text()))
        kept.request("GET", "/", headers={"Host": "app.example.org"})
        assert kept.getresponse().status == 200, "on the connection to the old one"
        kept.close()
        # One that refuses the configuration is not started.
        refusing = tmp_path / "refusing"
        refusing.write_text("#!/bin/sh\necho no; exit 1\n")
        refusing.chmod(0o755)
        serving = worker_of(edge)
        refusing.replace(program)
        refused = edge.run("renew")
        assert refused.returncode == 1
        assert "the new program refuses the edge's configuration" in refused.stderr
        assert worker_of(edge) == serving
        assert edge.get()[0] == 200
