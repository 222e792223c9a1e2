"""HAProxy's worker, the one before it, and what is kept from one to the next."""

import http.client
import http.server
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.edge_agent import bundle, control, upgraded, versions
from remote.edge_agent.apply import apply
from remote.edge_agent.bundle import unpack
from remote.edge_agent.checks import Check, kept_state
from remote.edge_agent.control import NoAnswerError
from remote.edge_agent.instance import Instance
from remote.edge_agent.system import EdgeError, poll
from tests.support.edge_script import Edge, an_edge, server, worker_of

pytestmark = [
    pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed here"),
    pytest.mark.skipif(os.geteuid() != 0, reason="the edge's HAProxy is started by root"),
]


@pytest.fixture
def edge() -> Iterator[Edge]:
    with an_edge() as made:
        yield made


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
