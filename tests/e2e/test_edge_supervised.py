"""Without systemd: what keeps HAProxy and its log running is killed, and comes back."""

import os
import re
import signal
from pathlib import Path

import pytest

from remote.edge_agent import processes
from remote.edge_agent.__main__ import main
from remote.edge_agent.instance import Instance
from remote.edge_agent.system import poll
from tests.support.edge_driver import Edge
from tests.support.edge_load import Servers

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="the edge's HAProxy is started by root"),
    pytest.mark.skipif(
        Instance("/x", "x").under_systemd, reason="here, systemd keeps an edge running"
    ),
]
ADDRESS = "127.0.2.1"


def pids(edge: Edge, pattern: str) -> list[int]:
    """Return the processes of an edge whose command line has this."""
    lines = ((pid, " ".join(words)) for pid, words in processes.command_lines())
    folder = str(edge.instance.folder)
    return [pid for pid, line in lines if folder in line and re.search(pattern, line, re.DOTALL)]


LOOPS = r"^(flock|/bin/sh -c) .*(haproxy\.cfg|keeper\.pyz log)"
WRITER = r"^(?!/bin/sh|flock).*keeper\.pyz log "


def end(edge: Edge, pattern: str) -> None:
    found = pids(edge, pattern)
    assert found
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    assert poll(lambda: not {*found} & {*pids(edge, pattern)}, 10)


def is_logged(edge: Edge) -> bool:
    """Return whether a request of now is in the access log."""
    log: Path = edge.instance.access_log
    before = log.stat().st_size if log.exists() else 0
    assert edge.get()[0] == 200
    return poll(lambda: log.exists() and log.stat().st_size > before, 10)


def comes_back(edge: Edge) -> bool:
    """Kill HAProxy, and return whether it serves again."""
    old = edge.master() or 0
    os.kill(old, signal.SIGKILL)
    return poll(lambda: edge.is_back(old), 20) and edge.get()[0] == 200


def test_the_writer_of_the_log_is_started_again(edge: Edge, servers: Servers) -> None:
    with servers.running(ADDRESS):
        edge.apply({"web-0": ADDRESS})
        assert is_logged(edge)
        for _ in range(3):
            end(edge, WRITER)
            assert edge.get()[0] == 200  # this one waits in the pipe
            assert is_logged(edge)


@pytest.mark.parametrize("verb", ["apply", "renew"])
def test_an_edge_whose_shells_were_killed_is_supervised_again(
    edge: Edge, servers: Servers, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def again() -> None:
        if verb == "apply":
            edge.apply({"web-0": ADDRESS})
        else:
            folder = str(edge.instance.folder)
            assert main(["renew", folder, edge.instance.name]) == 0

    with servers.running(ADDRESS):
        edge.apply({"web-0": ADDRESS})
        for killed, told in (
            (LOOPS, ["HAProxy"]),
            (f"{LOOPS}|{WRITER}", ["HAProxy", "its log"]),
            (r"^/bin/sh -c .*haproxy\.cfg", ["HAProxy"]),
            (f"^/bin/sh -c .*keeper\\.pyz log|{WRITER}", ["its log"]),
        ):
            worker = edge.worker()
            end(edge, killed)
            assert edge.get()[0] == 200
            again()
            assert edge.worker() == worker, "nothing was reloaded"
            said = capsys.readouterr().out
            for each in told:
                assert f"the loop that keeps {each} running had ended" in said
            assert is_logged(edge)
            again()
            assert capsys.readouterr().out == "", "once"
        assert len(pids(edge, r"^/bin/sh -c .*exec 9>>")) == 2
        assert comes_back(edge)
        assert is_logged(edge)
        assert comes_back(edge)
    edge.instance.stop()
    assert poll(lambda: not pids(edge, "master.sock|exec 9>>|keeper.pyz log"), 10)
