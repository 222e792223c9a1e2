"""What needs both tiers: sticky sessions, WebSockets, health checks; as a client notices it."""

import json
import os
import select
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websockets.sync.client

from lab.loopback.site import HEALTH, Site
from lab.loopback.vm import Vm, vms
from remote.edge_agent.system import poll
from tests.support.containers import App, Sockets
from tests.support.two_tiers import Answer, curl, running, state_of

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="the edge's HAProxy is started by root: run this as root"
)
SHOP = "http://shop.example.org"


class Client:
    """A client with a cookie jar."""

    def __init__(self, site: Site, folder: Path, name: str) -> None:
        self._site, self._jar = site, str(folder / name)

    def ask(self, *options: str) -> Answer:
        return curl(self._site, SHOP, "--cookie", self._jar, "--cookie-jar", self._jar, *options)

    def name(self, *options: str) -> str:
        answer = self.ask(*options)
        assert answer.status == 200, answer
        return str(answer.json["name"])


class Sticky:
    """Two VMs with two containers each."""

    def __init__(self, site: Site, machines: list[Vm]) -> None:
        self.site, self.vms = site, dict(zip(("web-0", "web-1"), machines, strict=True))
        self.stack = site.stack({"shop": {"http": {"sticky": True}}})
        self.apps = {
            f"{vm}-{number}": App(f"{vm}-{number}") for vm in self.vms for number in range(2)
        }
        for name, each in self.apps.items():
            self.vm_of(name).add("shop", self.stack, each)
        self.serve("web-0", "web-1")

    def vm_of(self, container: str) -> Vm:
        return self.vms[container[:5]]

    def states(self) -> dict[str, str]:
        """Return what the edge says of the VMs."""
        return {vm: state_of(self.site, vm) for vm in self.vms}

    def serve(self, *names: str) -> None:
        self.site.apply(self.stack, {"shop": {name: self.vms[name].web for name in names}})


@pytest.fixture
def sticky(site: Site) -> Iterator[Sticky]:
    with vms(2) as machines:
        made = Sticky(site, machines)
        with running(*made.apps.values()):
            yield made


def test_a_client_stays_with_its_container(sticky: Sticky, tmp_path: Path) -> None:
    clients = [Client(sticky.site, tmp_path, f"jar{number}") for number in range(8)]
    first = [each.name() for each in clients]
    assert set(first) == set(sticky.apps), "new clients are spread over all of them"
    for each, name in zip(clients, first, strict=True):
        assert {each.name() for _ in range(5)} == {name}
    assert len({curl(sticky.site, SHOP).json["name"] for _ in range(8)}) > 1, "without cookies"


def test_the_cookies_are_for_http_only_and_the_edges_own_stays_at_the_edge(
    sticky: Sticky, tmp_path: Path
) -> None:
    client = Client(sticky.site, tmp_path, "jar")
    cookies = client.ask().all("set-cookie")
    assert sorted(each.split("=")[0] for each in cookies) == ["gatehouse-shop", "gatehouse-shop_vm"]
    for cookie in cookies:
        attributes = {each.strip().lower() for each in cookie.split(";")[1:]}
        assert {"path=/", "httponly", "samesite=lax"} <= attributes
    seen = client.ask().json["headers"]["Cookie"]
    assert "gatehouse-shop_vm" not in seen


def test_a_client_of_a_container_that_leaves_is_moved_and_stays_there(
    sticky: Sticky, tmp_path: Path
) -> None:
    client = Client(sticky.site, tmp_path, "jar")
    first = client.name()
    sticky.vm_of(first).remove(first)
    second = client.name("--data", "a form")
    assert second != first
    assert second[:5] == first[:5], "another one of the same VM"
    assert {client.name() for _ in range(5)} == {second}


def test_a_client_of_a_vm_that_leaves_is_moved_and_stays_there(
    sticky: Sticky, tmp_path: Path
) -> None:
    client = Client(sticky.site, tmp_path, "jar")
    first = client.name()
    (other,) = {"web-0", "web-1"} - {first[:5]}
    sticky.serve(other)
    second = client.name("--data", "a form")
    assert second[:5] == other
    assert {client.name() for _ in range(5)} == {second}
    sticky.serve("web-0", "web-1")
    assert {client.name() for _ in range(5)} == {second}, "also when the VM is back"


def test_a_client_of_a_vm_whose_containers_fail_their_checks_is_moved(
    sticky: Sticky, tmp_path: Path
) -> None:
    client = Client(sticky.site, tmp_path, "jar")
    first = client.name()
    for name, each in sticky.apps.items():
        each.healthy = name[:5] != first[:5]
    assert poll(lambda: sticky.states()[first[:5]].startswith("DOWN"), 30.0)
    second = client.name("--data", "a form")
    assert second[:5] != first[:5]
    assert {client.name("--data", "a form") for _ in range(5)} == {second}


def test_a_client_stays_with_its_vm_while_no_check_passes(sticky: Sticky, tmp_path: Path) -> None:
    clients = [Client(sticky.site, tmp_path, f"jar{number}") for number in range(8)]
    first = [each.name() for each in clients]
    for vm in sticky.vms:
        sticky.site.ask(f"disable health shop/{vm}")
        sticky.site.ask(f"set server shop/{vm} health down")
    assert {state[:4] for state in sticky.states().values()} == {"DOWN"}
    assert [each.name("--data", "a form") for each in clients] == first
    assert curl(sticky.site, SHOP).status == 200, "a new client has an answer too"
    for vm in sticky.vms:
        sticky.site.ask(f"enable health shop/{vm}")
    assert poll(lambda: all(state == "UP" for state in sticky.states().values()), 30.0)
    assert [each.name() for each in clients] == first


def test_a_client_of_a_vm_that_died_is_moved(sticky: Sticky, tmp_path: Path) -> None:
    client = Client(sticky.site, tmp_path, "jar")
    first = client.name()
    sticky.vm_of(first).stop()
    assert client.name("--data", "a form")[:5] != first[:5]


def test_clients_lose_nothing_while_containers_and_vms_leave(
    sticky: Sticky, tmp_path: Path
) -> None:
    done = threading.Event()
    seen: Counter[int] = Counter()

    def visit(number: int) -> None:
        client = Client(sticky.site, tmp_path, f"jar{number}")
        while not done.is_set():
            seen[client.ask("--data", "x").status] += 1

    visitors = [threading.Thread(target=visit, args=(number,)) for number in range(4)]
    for each in visitors:
        each.start()
    try:
        sticky.vms["web-0"].remove("web-0-0")
        sticky.vms["web-1"].remove("web-1-1")
        sticky.serve("web-1")
        sticky.serve("web-0", "web-1")
        sticky.serve("web-0")
        sticky.vms["web-0"].add("shop", sticky.stack, sticky.apps["web-0-0"])
        sticky.vms["web-0"].remove("web-0-1")
    finally:
        done.set()
        for each in visitors:
            each.join()
    assert seen.keys() == {200}, seen
    assert seen[200] > 40


def test_websockets_pass_both_tiers_with_everything_on(site: Site) -> None:
    sockets = Sockets("sockets")
    http = {"sticky": True, "max_body": "1MiB", "compression": True, "headers": {"X-A": "b"}}
    stack = site.stack({"shop": {"http": {**http, "rate_limit": {"requests": 9, "per": "1h"}}}})
    with vms(1) as (vm,), running(sockets):
        vm.add("shop", stack, sockets)
        site.apply(stack, {"shop": {"web-0": vm.web}})
        with websockets.sync.client.connect(
            "ws://shop.example.org/", sock=_connected(site)
        ) as connection:
            for number in range(3):
                connection.send(str(number))
                assert connection.recv(timeout=10) == f"sockets {number}"
            site.apply(site.stack({"shop": {}}), {"shop": {"web-0": vm.web}})
            connection.send("after a reload")
            assert connection.recv(timeout=10) == "sockets after a reload"


def _connected(site: Site) -> Any:
    return socket.create_connection(("127.0.0.1", site.port), timeout=10)


# Health checks.


def test_an_application_is_asked_as_often_as_its_interval_says(site: Site) -> None:
    rare, often = App("rare"), App("often")
    health = {"path": "/health"}
    stack = site.stack(
        {
            "shop": {"health": {**health, "interval": "1m"}},
            "often": {"health": {**health, "interval": "1s"}},
        }
    )
    with vms(1) as (vm,), running(rare, often):
        vm.add("shop", stack, rare)
        vm.add("often", stack, often)
        site.apply(stack, {"shop": {"web-0": vm.web}, "often": {"web-0": vm.web}})
        before = often.health_checks
        assert poll(lambda: often.health_checks >= before + 8, 60)
        assert rare.health_checks == 0, "while the edge has asked the VM for each ten times"


def test_no_line_of_the_access_log_is_longer_than_a_pipe_keeps_together(
    sticky: Sticky,
) -> None:
    site = sticky.site
    log = site.instance.access_log
    assert curl(site, SHOP).status == 200
    assert poll(log.exists, 30.0)
    before = len(log.read_bytes().splitlines())
    # HAProxy 3.0 refuses a control character in Host.
    head = f"GET {'/' * 1020} HTTP/1.1\r\nHost: a\r\nUser-Agent: {chr(1) * 255}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", site.port)) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65_536)
    assert poll(lambda: len(log.read_bytes().splitlines()) > before, 30.0)
    line = log.read_bytes().splitlines()[-1]
    assert 2_500 < len(line) <= select.PIPE_BUF
    assert len(json.loads(line)["agent"]) == 255


def test_an_application_that_fails_its_check_gets_no_requests_until_it_passes(site: Site) -> None:
    first, second = App("first"), App("second")
    stack = site.stack({"shop": {"path": "/shop", "health": {"path": HEALTH, "interval": "1s"}}})
    with vms(2) as (one, two), running(first, second):
        one.add("shop", stack, first)
        two.add("shop", stack, second)
        site.apply(stack, {"shop": {"web-0": one.web, "web-1": two.web}})
        first.healthy = False
        assert poll(lambda: state_of(site, "web-0") == "DOWN", 60)
        answers = [curl(site, f"{SHOP}/shop", "--data", "x") for _ in range(10)]
        assert {each.json["name"] for each in answers} == {"second"}
        second.healthy = False
        assert poll(lambda: state_of(site, "web-1") == "DOWN", 60)
        assert curl(site, f"{SHOP}/shop").status == 503
        first.healthy = True
        assert poll(lambda: state_of(site, "web-0") == "UP", 60)
        assert curl(site, f"{SHOP}/shop").json["name"] == "first"


def test_a_traefik_that_is_gone_is_noticed_however_rarely_the_application_is_asked(
    site: Site,
) -> None:
    first, second = App("first"), App("second")
    stack = site.stack({"shop": {"health": {"path": HEALTH, "interval": "1h"}}})
    with vms(2) as (one, two), running(first, second):
        one.add("shop", stack, first)
        two.add("shop", stack, second)
        site.apply(stack, {"shop": {"web-0": one.web, "web-1": two.web}})
        one.stop()
        assert poll(lambda: state_of(site, "web-0") == "DOWN", 60)
        answers = [curl(site, SHOP, "--data", "x") for _ in range(10)]
        assert {each.json["name"] for each in answers} == {"second"}
        two.remove("second")
        assert poll(lambda: state_of(site, "web-1") == "DOWN", 60), "as its last container left"
        assert first.health_checks == second.health_checks == 0


def test_the_names_of_checks_are_for_the_edge_only(site: Site) -> None:
    app, other = App("app"), App("other")
    stack = site.stack({"shop": {}, "any": {"hosts": ["*.example.org"]}})
    with vms(1) as (vm,), running(app, other):
        vm.add("shop", stack, app)
        vm.add("any", stack, other)
        site.apply(stack, {"shop": {"web-0": vm.web}, "any": {"web-0": vm.web}})
        for name in ("_shop._http", "_SHOP._http", "_shop._http."):
            assert curl(site, SHOP, "--header", f"Host: {name}").status == 404
            line = curl(site, SHOP, "--request-target", f"http://{name}/", "-H", f"Host: {name}")
            assert line.status == 404
        # From elsewhere than the edge, without it between them.
        beside = subprocess.run(
            (
                *("curl", "--silent", "--noproxy", "*", "--interface", "127.0.0.9"),
                *("--header", "Host: _shop._http", "--write-out", "%{http_code}"),
                *("--output", "/dev/null", f"http://{vm.web}/"),
            ),
            check=True,
            capture_output=True,
            text=True,
        )
        assert beside.stdout == "403"
