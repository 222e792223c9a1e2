"""The edge agent killed at each of its steps: the same command again does all that is missing.

A run of the edge agent takes a second, so only every few steps are tried; ``FUZZ=full`` tries all.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.config.models.edge import Tls
from lab.loopback.ports import free_ports
from remote.edge_agent import users
from remote.edge_agent.instance import Instance
from remote.edge_agent.system import poll
from tests.support.edge_script import Edge, an_edge, guarded, page, server, with_page
from tests.support.killed import killed_at
from tests.support.pems import Authority

pytestmark = [
    pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed here"),
    pytest.mark.skipif(os.geteuid() != 0, reason="the edge's HAProxy is started by root"),
]
HEAD = "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\n"
MOST = 300
FULL = os.environ.get("FUZZ") == "full"


@pytest.fixture
def edge() -> Iterator[Edge]:
    with an_edge() as made:
        yield made


@pytest.fixture
def backend() -> Iterator[str]:
    with server() as address:
        yield address


def apply(edge: Edge) -> list[str]:
    return ["apply", str(edge.folder), "test", "10"]


def each_step(run: Callable[[int], bool], stride: int = 1) -> int:
    """Run something that is killed at its first step, a later one, and so on; return how many."""
    for step in range(1, MOST, stride if FULL else 5 * stride):
        if not run(step):
            return step - 1
    raise AssertionError(f"more than {MOST} steps")


def leftovers(edge: Edge) -> list[str]:
    """Return what a run that was killed has left, if anything."""
    worker = Instance(str(edge.folder), "test").worker()
    assert worker is not None
    live = {str(worker.version.folder)}
    found = [str(path) for path in edge.folder.rglob("*.part")]
    found += [str(path) for path in edge.folder.rglob("*.new")]
    return found + sorted({str(path) for path in (edge.folder / "versions").iterdir()} - live)


def assert_in_force(edge: Edge, wanted: str) -> None:
    assert page(edge) == wanted
    assert leftovers(edge) == []
    assert (edge.folder / "servers.state").read_text() == "1\n"


@pytest.mark.parametrize("between", ["nothing", "worker", "master", "another text"])
def test_a_change_that_is_killed_is_made_by_the_same_command(
    edge: Edge, backend: str, between: str
) -> None:
    assert edge.run("apply", with_page(edge, backend, f"{HEAD}0000")).returncode == 0

    def run(step: int) -> bool:
        text = with_page(edge, backend, f"{HEAD}{step:04}")
        if not killed_at(step, apply(edge), text):
            assert_in_force(edge, f"{step:04}")
            return False
        wanted = f"{step:04}"
        if between == "another text":
            wanted = f"9{step:03}"
            text = with_page(edge, backend, f"{HEAD}{wanted}")
        if between in {"worker", "master"}:
            kill_haproxy(edge, between)
        again = edge.run("apply", text)
        assert again.returncode == 0, f"step {step}: {again.stderr}"
        assert_in_force(edge, wanted)
        return True

    assert each_step(run, 1 if between == "nothing" else 3) > 10


def kill_haproxy(edge: Edge, which: str) -> None:
    instance = Instance(str(edge.folder), "test")
    worker = instance.settled()
    assert worker is not None
    pid = worker.pid if which == "worker" else int(instance.pid_file.read_text())
    os.kill(pid, signal.SIGKILL)


def test_what_was_in_force_before_can_be_put_back_after_a_kill(edge: Edge, backend: str) -> None:
    texts = {name: with_page(edge, backend, f"{HEAD}{name}") for name in ("0001", "0002")}
    assert edge.run("apply", texts["0001"]).returncode == 0

    def run(step: int) -> bool:
        was_killed = killed_at(step, apply(edge), texts["0002"])
        again = edge.run("apply", texts["0001"])
        assert again.returncode == 0, again.stderr
        assert_in_force(edge, "0001")
        return was_killed

    each_step(run, 2)


def test_an_installation_that_is_killed_is_made_by_the_same_command(
    edge: Edge, backend: str
) -> None:
    text = with_page(edge, backend, f"{HEAD}0001")

    def run(step: int) -> bool:
        was_killed = killed_at(step, apply(edge), text)
        again = edge.run("apply", text)
        assert again.returncode == 0, again.stderr
        assert_in_force(edge, "0001")
        assert edge.run("remove").returncode == 0
        return was_killed

    assert each_step(run, 2) > 10


def running(edge: Edge) -> list[bytes]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if str(edge.folder).encode() in words:
            found.append(words)
    return found


def test_a_removal_that_is_killed_is_finished_by_the_same_command(edge: Edge, backend: str) -> None:
    def run(step: int) -> bool:
        assert edge.run("apply", edge.text(backend)).returncode == 0
        was_killed = killed_at(step, ["remove", str(edge.folder), "test"])
        again = edge.run("remove")
        assert again.returncode == 0, again.stderr
        assert not edge.folder.exists()
        assert poll(lambda: running(edge) == [], 10)
        return was_killed

    # From somewhere on it only deletes files, one after the other.
    assert each_step(lambda step: run(step) and step < 20) > 10


def test_userlists_that_are_killed_are_kept_by_the_same_command(edge: Edge, backend: str) -> None:
    assert edge.run("apply", edge.text(backend)).returncode == 0

    def run(step: int) -> bool:
        lists = f"userlist app\n    user alice password $6$x${step}\n"
        was_killed = killed_at(step, ["users", str(edge.folder), "test"], lists)
        assert edge.run("users", lists).returncode == 0
        assert edge.run("apply", guarded(edge, backend, lists)).returncode == 0
        kept = [path.name for path in (edge.folder / "users").iterdir()]
        assert kept == [f"{users.digest(lists)}.cfg"]
        assert edge.get()[0] == 401
        return was_killed

    each_step(run)


def served(port: int) -> str:
    shown = subprocess.run(
        ("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "app.example.org"),
        check=False,
        input="",
        capture_output=True,
        text=True,
    )
    told = subprocess.run(
        ("openssl", "x509", "-noout", "-fingerprint"),
        check=True,
        input=shown.stdout,
        capture_output=True,
        text=True,
    )
    return told.stdout


@pytest.mark.parametrize("length", [0, 40], ids=["handed over", "too long for a command"])
def test_a_renewal_that_is_killed_is_finished_by_the_same_command(
    edge: Edge, backend: str, tmp_path: Path, length: int
) -> None:
    authority = Authority()
    (port,) = free_ports(1)
    live = tmp_path / "live"

    def issue() -> str:
        authority.issue(live / "app", "app.example.org")
        chain = live / "app" / "fullchain.pem"
        chain.write_text(chain.read_text() + authority.pem * length)
        command = ("openssl", "x509", "-noout", "-fingerprint", "-in", str(chain))
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    first = issue()
    tls = Tls(port=port, folder=str(live))
    edge.config = edge.config.model_copy(update={"tls": tls})
    applied = edge.run("apply", edge.text(backend))
    assert applied.returncode == 0, applied.stderr
    assert served(port) == first

    def run(step: int) -> bool:
        wanted = issue()
        was_killed = killed_at(step, ["renew", str(edge.folder), "test"])
        again = edge.run("renew")
        assert again.returncode == 0, again.stderr
        assert served(port) == wanted
        reloads = Instance(str(edge.folder), "test").reloads()
        assert edge.run("apply", edge.text(backend)).returncode == 0
        assert Instance(str(edge.folder), "test").reloads() == reloads, "that is in force already"
        assert leftovers(edge) == []
        return was_killed

    # What is too long is put into force as a change is, which has all its steps above.
    assert each_step(run, 4 if length else 1) > 3
