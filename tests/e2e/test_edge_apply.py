"""The edge's script against a real HAProxy on loopback: check, swap, reload, and what fails."""

import base64
import os
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.edge.backends import Server, TcpBackend
from components.edge.haproxy import BODIES, render
from components.edge.routes import MAP
from lab.loopback.ports import free_ports
from remote.archive import EDGE_AGENT, archive
from remote.edge_agent import facts, seal
from remote.edge_agent.bundle import pack
from remote.edge_agent.instance import Instance
from remote.edge_agent.systemd import unit_text
from remote.shipping import archive_command
from tests.support.edge_script import (
    Edge,
    an_edge,
    guarded,
    hashed,
    page,
    server,
    with_page,
    worker_of,
)

pytestmark = [
    pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed here"),
    pytest.mark.skipif(os.geteuid() != 0, reason="the edge's HAProxy is started by root"),
]


@pytest.fixture
def edge() -> Iterator[Edge]:
    with an_edge() as made:
        yield made


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


def test_removing_what_is_not_there_is_fine(edge: Edge) -> None:
    assert edge.run("remove").returncode == 0


def test_the_same_program_is_the_same_bytes_and_fits_a_command_line() -> None:
    assert archive(EDGE_AGENT) == archive(EDGE_AGENT)
    assert len(archive(EDGE_AGENT)) < 96 * 1024


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
