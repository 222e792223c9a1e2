"""Which joins a leave undoes, whatever Pulumi has recorded of them."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings

from remote.vm_agent import connections, docker, traefik_api
from remote.vm_agent.agent import Agent
from remote.vm_agent.container import Container
from remote.vm_agent.view import View
from tests.support.bookkeeping import STEPS, Commands, play
from tests.support.described import container

ID = "a" * 64


@pytest.fixture(autouse=True)
def _a_healthy_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker, "find", lambda _: container())
    monkeypatch.setattr(Container, "health_problem", lambda *_: None)
    monkeypatch.setattr(Container, "connections", lambda _: 0)
    monkeypatch.setattr(View, "show", lambda *_: True)
    monkeypatch.setattr(traefik_api, "traefiks", list)
    monkeypatch.setattr(connections, "_QUIET_SECONDS", 0)


@example(["create", "lost update", "delete"])
@example(["lost create", "create", "replace", "lost update", "delete"])
@given(STEPS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_container_is_a_member_as_pulumis_bookkeeping_has_it(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("agent")
    agent = Agent(folder)

    def join(printed: str) -> str:
        return agent.join(ID, 10, printed)

    recorded = play(steps, Commands(join, lambda printed: agent.leave(ID, 10, printed)))
    assert (agent.members.get(ID) is not None) == recorded


@pytest.mark.parametrize("mark", ["\0" * 16, "", "0123", "0123456789abcde", None, 7, ["x"], {}])
def test_a_container_with_a_damaged_mark_leaves(tmp_path: Path, mark: object) -> None:
    file = tmp_path / "members.json"
    file.write_text(json.dumps([{"id": ID, "healthy_since": None, "mark": mark}]))
    agent = Agent(tmp_path)
    assert agent.leave(ID, 10, "0123456789abcdef").startswith("nothing in flight after")
    assert agent.members.get(ID) is None
