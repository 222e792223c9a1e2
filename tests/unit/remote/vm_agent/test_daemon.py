"""The agent's archive as systemd runs it, and as an update replaces it."""

import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.loopback.ports import free_ports
from remote.archive import VM_AGENT, archive, version
from remote.files import write_whole
from remote.vm_agent import control
from remote.vm_agent.errors import AgentError
from tests.support.agent_program import agent_program
from tests.support.virtual import App, Docker, eventually


class Machine:
    """A folder with the program and the agent's files, and what starts the daemon again."""

    def __init__(self, home: Path) -> None:
        self.docker = Docker(home / "docker.sock")
        self.home, self.folder, self.program = home, home / "agent", home / "agent.py"
        self.folder.mkdir()
        self.log = home / "log"
        self.started: list[int] = []
        self._port = free_ports(1)[0]
        self._over = threading.Event()
        self._keeper = threading.Thread(target=self._keep)

    def start(self) -> None:
        self._keeper.start()
        eventually(self.answers)

    def _keep(self) -> None:
        while not self._over.is_set():
            with self.log.open("a") as log:
                words = (sys.executable, self.program, "serve", self.folder)
                self.process = subprocess.Popen(words, stdout=log, stderr=log)
            self.started.append(self.process.pid)
            self.process.wait()

    def answers(self) -> bool:
        try:
            return bool(control.ask(self.folder, "version"))
        except OSError:
            return False

    def app(self, number: int) -> App:
        return App(self.docker, number, self._port)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (sys.executable, self.program, *words),
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "GATEHOUSE_FOLDER": str(self.folder)},
        )

    def end(self) -> None:
        self._over.set()
        self.process.kill()
        self._keeper.join()
        for each in self.docker.containers.values():
            each.die()


@pytest.fixture
def machine() -> Iterator[Machine]:
    # Not pytest's own folder, whose path is too long for a socket's.
    with tempfile.TemporaryDirectory() as home:
        made = Machine(Path(home))
        made.program.write_bytes(agent_program(made.home / "docker.sock"))
        made.start()
        yield made
        made.end()


@pytest.mark.parametrize("replaced", ["newer", "empty", "shorter", "text", "gone"])
def test_the_daemon_goes_on_when_its_file_is_replaced(machine: Machine, replaced: str) -> None:
    first, second = machine.app(1), machine.app(2)
    assert machine.run("join", first.id, "60").returncode == 0
    if replaced == "gone":
        machine.program.unlink()
    else:
        programs = {
            "newer": agent_program(machine.home / "docker.sock", more="x" * 999),
            "empty": b"",
            "shorter": agent_program(machine.home / "docker.sock")[:1000],
            "text": Path(__file__).read_bytes(),
        }
        write_whole(machine.program, programs[replaced])
    mark = control.ask(machine.folder, "join", second.id, "60")
    assert control.ask(machine.folder, "leave", first.id, "5").startswith("nothing in flight")
    with pytest.raises(AgentError, match="there is no such container"):
        control.ask(machine.folder, "join", "b" * 64, "60")
    with pytest.raises(AgentError, match="could not convert string to float"):
        control.ask(machine.folder, "leave", second.id, "soon")
    second.healthy, second.running = False, False
    machine.docker.happens("die", second)
    assert control.ask(machine.folder, "leave", second.id, "5", f"mark={mark}") == "it does not run"
    assert control.ask(machine.folder, "evacuate", "5").startswith("nothing in flight")
    assert control.ask(machine.folder, "version") == version(VM_AGENT)
    assert len(machine.started) == 1, machine.log.read_text()
    assert not re.search("Error|Traceback", machine.log.read_text()), machine.log.read_text()


def test_deployed_waits_until_the_daemon_runs_this_very_program(machine: Machine) -> None:
    assert machine.run("deployed", "60").returncode == 0
    assert len(machine.started) == 1, "it does already"
    write_whole(machine.program, agent_program(machine.home / "docker.sock", more="newer"))
    assert control.ask(machine.folder, "version") == version(VM_AGENT), "and no newer one"
    done = machine.run("deployed", "60")
    assert (done.returncode, done.stderr) == (0, "")
    assert control.ask(machine.folder, "version") == f"newer-{version(VM_AGENT)}"
    assert len(machine.started) == 2


def test_a_daemon_that_is_sent_is_installed_and_runs(machine: Machine) -> None:
    write_whole(machine.program, agent_program(machine.home / "docker.sock", more="older"))
    assert machine.run("deployed", "60").returncode == 0
    sent = machine.home / "sent"
    sent.write_bytes(archive(VM_AGENT))
    done = subprocess.run(
        (sys.executable, sent, "install", machine.program, "60"),
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "GATEHOUSE_FOLDER": str(machine.folder)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert machine.program.read_bytes() == archive(VM_AGENT)
    assert control.ask(machine.folder, "version") == version(VM_AGENT)
