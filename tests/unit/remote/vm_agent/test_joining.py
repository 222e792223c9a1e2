"""A join counts once its answer has arrived; until then, nothing of it stays."""

import itertools
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from remote.vm_agent import agent, connections, control, docker, polling, traefik_api
from remote.vm_agent.agent import Agent
from remote.vm_agent.container import Container
from remote.vm_agent.control import Control
from remote.vm_agent.errors import AgentError
from remote.vm_agent.server import UnixServer
from remote.vm_agent.view import View
from tests.support.described import container

ID = "a" * 64
JOIN = ("join", ID, "60", "mark=")


class Machine:
    """An agent, and a container that is healthy when it should be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problem: str | None = None
        self.hidden: list[str] = []
        self.agent = Agent(folder)
        self.server = UnixServer(folder / "control.sock", Control, self.agent)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def member(self) -> bool:
        return self.agent.members.get(ID) is not None

    def believed(self) -> bool:
        """Whether an agent that is started now takes it for a member."""
        return Agent(self.folder).members.get(ID) is not None

    def ends_up_hidden(self) -> None:
        assert polling.poll(lambda: not self.member() and self.hidden == [ID], 60)
        assert not self.believed()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    # Not pytest's own folder, whose path is too long for a socket's.
    with tempfile.TemporaryDirectory() as folder:
        made = Machine(Path(folder))
        monkeypatch.setattr(polling, "POLL_SECONDS", 0.02)
        monkeypatch.setattr(docker, "find", lambda _: replace(container(), image=""))
        monkeypatch.setattr(docker, "last_lines", lambda _: "")
        monkeypatch.setattr(Container, "health_problem", lambda *_: made.problem)
        monkeypatch.setattr(Container, "connections", lambda _: 0)
        monkeypatch.setattr(View, "show", lambda *_: True)
        monkeypatch.setattr(View, "hide", lambda _, gone: made.hidden.append(gone))
        monkeypatch.setattr(traefik_api, "traefiks", list)
        monkeypatch.setattr(connections, "_QUIET_SECONDS", 0)
        yield made
        made.server.shutdown()
        made.server.server_close()


def test_one_whose_answer_is_taken_is_a_member(machine: Machine) -> None:
    printed: list[str] = []
    mark = control.ask(machine.folder, *JOIN, take=printed.append)
    assert printed == [mark]
    assert machine.believed()
    assert machine.agent.leave(ID, 0, mark).startswith("nothing in flight")
    assert not machine.believed()


def test_one_whose_asker_goes_before_it_is_healthy_is_forgotten(machine: Machine) -> None:
    machine.problem = "it starts"
    with socket.socket(socket.AF_UNIX) as asker:
        asker.connect(str(machine.folder / "control.sock"))
        asker.sendall(" ".join(JOIN).encode() + b"\n")
        assert polling.poll(machine.member, 60)
        assert not machine.believed(), "the agent may end now"
    machine.ends_up_hidden()


@pytest.mark.parametrize("word", ["", "no\n", "take"])
def test_one_whose_answer_nobody_takes_is_forgotten(machine: Machine, word: str) -> None:
    with socket.socket(socket.AF_UNIX) as asker:
        asker.connect(str(machine.folder / "control.sock"))
        asker.sendall(" ".join((*JOIN, "take")).encode() + b"\n")
        with asker.makefile("rb") as reader:
            assert b"said" in reader.readline()
        asker.sendall(word.encode())
    machine.ends_up_hidden()


def test_one_that_could_not_be_printed_is_forgotten(machine: Machine) -> None:
    def lost(_: str) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        control.ask(machine.folder, *JOIN, take=lost)
    machine.ends_up_hidden()


def test_an_asker_whose_output_nobody_reads_ends(machine: Machine) -> None:
    machine.problem = "it starts"
    words = (sys.executable, "-m", "remote.vm_agent", *JOIN)
    environment = {**os.environ, "GATEHOUSE_FOLDER": str(machine.folder)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=environment) as asker:
        assert polling.poll(machine.member, 60)
        assert asker.stdout is not None
        asker.stdout.close()  # as sshd does when the connection is lost
        assert asker.wait(60) == 1
    machine.ends_up_hidden()


def test_one_that_serves_stays_when_a_later_join_of_it_fails(machine: Machine) -> None:
    mark = machine.agent.join(ID, 60)
    machine.problem = "it is ill"
    with pytest.raises(AgentError, match="it is ill"):
        machine.agent.join(ID, 0, mark)
    machine.problem = None
    with socket.socket(socket.AF_UNIX) as asker:
        asker.connect(str(machine.folder / "control.sock"))
        asker.sendall(f"join {ID} 60 mark={mark} take\n".encode())
        with asker.makefile("rb") as reader:
            assert mark.encode() in reader.readline()
    again = machine.agent.join(ID, 60, mark)
    assert (again, machine.hidden) == (mark, [])
    assert machine.believed()


def test_the_end_of_a_lost_join_does_not_hide_one_that_was_run_again(machine: Machine) -> None:
    machine.problem = "it starts"
    with socket.socket(socket.AF_UNIX) as lost:
        lost.connect(str(machine.folder / "control.sock"))
        lost.sendall(" ".join((*JOIN, "take")).encode() + b"\n")
        assert polling.poll(machine.member, 60)
        machine.problem = None
        with lost.makefile("rb") as reader:
            assert b"said" in reader.readline()
        mark = control.ask(machine.folder, *JOIN, take=lambda _: None)
    assert polling.poll(lambda: not machine.agent.members.joining(ID), 60)
    assert machine.hidden == []
    assert machine.believed()
    assert machine.agent.leave(ID, 0, mark).startswith("nothing in flight")


def test_one_that_traefik_does_not_forget_is_drained_all_the_same(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = machine.agent.join(ID, 60)
    open_at = itertools.chain([1, 1, 1], itertools.repeat(0))
    monkeypatch.setattr(Container, "connections", lambda _: next(open_at))
    monkeypatch.setattr(traefik_api, "sends", lambda *_: [True])
    monkeypatch.setattr(agent, "_FORGET_SECONDS", 0)
    monkeypatch.setattr(connections, "_QUIET_SECONDS", 0.01)
    said = machine.agent.leave(ID, 60, mark)
    assert said.startswith("Traefik has not forgotten it after 0 s; nothing in flight after")
    assert next(open_at) == 0


def test_one_that_ends_while_it_leaves_is_not_said_to_have_finished(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen(("true",)) as process:
        process.wait()
    monkeypatch.setattr(docker, "find", lambda _: replace(container(), pid=process.pid))
    mark = machine.agent.join(ID, 60)
    assert machine.agent.leave(ID, 60, mark).endswith("; its process has ended")


def test_a_check_that_ends_late_makes_no_member_of_one_that_has_left(tmp_path: Path) -> None:
    members = Agent(tmp_path).members
    members.note(ID, "now")
    assert members.get(ID) is None
