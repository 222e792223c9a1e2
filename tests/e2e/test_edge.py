"""The edge's script and the real HAProxy on loopback: changes and faults under load, none lost."""

import functools
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from remote.edge_agent.system import poll
from tests.support.edge_changes import ADDRESSES, changed_under_load, lose_nothing
from tests.support.edge_driver import Edge
from tests.support.edge_load import Load, Servers
from tests.support.edge_vanishing import NO_VETH

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="the edge's HAProxy is started by root: run this as root"
)


def test_a_hundred_changes_of_the_pool_lose_no_request(edge: Edge, servers: Servers) -> None:
    lose_nothing(edge, servers)


def test_the_load_notices_workers_that_keep_their_servers(
    edge: Edge, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Edge.text

    def without(edge: Edge, pool: dict[str, str]) -> str:
        text = whole(edge, pool)
        assert text.count("use_backend _next if { stopping }\n") == 1
        return text.replace("use_backend _next if { stopping }\n", "\n")

    monkeypatch.setattr(Edge, "text", without)
    assert changed_under_load(edge, servers, Load(edge.entrance), 30) != []


def test_a_server_that_is_down_or_drained_stays_so_over_a_reload(
    edge: Edge, servers: Servers
) -> None:
    first, second, third, fourth, *_ = ADDRESSES
    with servers.running(first, second, third, fourth):
        edge.apply({"web-0": first, "web-1": second, "web-2": third})
        edge.ask("set server app/web-1 state drain")
        servers.refusing.add(third)
        assert poll(lambda: edge.state("web-2")[0] == 0, 5)
        edge.apply({"web-0": first, "web-1": second, "web-2": third, "web-3": fourth})
        assert edge.state("web-1")[1] == 8, "forced to drain"
        assert edge.state("web-2")[0] == 0, "down"
        assert {edge.get() for _ in range(10)} == {(200, first), (200, fourth)}
        edge.ask("set server app/web-1 state ready")
        servers.refusing.clear()
        assert poll(lambda: edge.state("web-2")[0] == 2, 5), "back when it is healthy"


def test_when_no_check_passes_requests_are_still_answered(edge: Edge, servers: Servers) -> None:
    first, second, *_ = ADDRESSES
    with servers.running(first, second):
        edge.apply({"web-0": first, "web-1": second})
        servers.late |= {first, second}
        assert poll(lambda: {edge.state(each)[0] for each in ("web-0", "web-1")} == {0}, 5)
        assert {edge.get() for _ in range(10)} == {(200, first), (200, second)}
        servers.late.remove(second)
        assert poll(lambda: edge.state("web-1")[0] == 2, 5)
        assert {edge.get() for _ in range(10)} == {(200, second)}, "who passes goes first"


def test_a_server_that_moved_does_not_inherit_what_was_wrong_with_it(
    edge: Edge, servers: Servers
) -> None:
    first, second, third, *_ = ADDRESSES
    with servers.running(first, second, third):
        edge.apply({"web-0": first, "web-1": second})
        servers.refusing.add(second)
        assert poll(lambda: edge.state("web-1")[0] == 0, 5)
        edge.apply({"web-0": first, "web-1": third})
        assert edge.state("web-1")[0] == 2
        assert (200, third) in {edge.get() for _ in range(4)}


@pytest.mark.parametrize("victim", ["worker", "master"])
def test_an_edge_that_is_killed_serves_again_within_3_s(
    edge: Edge, servers: Servers, victim: str
) -> None:
    def serves() -> bool:
        try:
            return edge.get()[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    with servers.running(ADDRESSES[0]):
        edge.apply({"web-0": ADDRESSES[0]})
        for _ in range(3):
            master = int(edge.instance.pid_file.read_text())
            killed = edge.worker() if victim == "worker" else master
            start = time.monotonic()
            os.kill(killed, signal.SIGKILL)
            assert poll(functools.partial(edge.is_back, master), 3)
            assert poll(serves, 3)
            assert time.monotonic() - start < 3
        edge.apply({"web-0": ADDRESSES[0]})


def test_a_change_just_after_a_kill_finds_one_edge(edge: Edge, servers: Servers) -> None:
    with servers.running(*ADDRESSES):
        edge.apply({"web-0": ADDRESSES[0]})
        os.kill(edge.worker(), signal.SIGKILL)
        edge.apply({"web-0": ADDRESSES[1]})
        assert {edge.get() for _ in range(10)} == {(200, ADDRESSES[1])}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_only_what_is_safe_is_sent_twice(edge: Edge, servers: Servers, method: str) -> None:
    first, second, *_ = ADDRESSES
    servers.hanging_up.add(first)
    with servers.running(first, second):
        edge.apply({"web-0": first, "web-1": second})
        statuses = Counter(edge.get(method)[0] for _ in range(10))
        assert first in {arrival.address for arrival in servers.arrivals}
        if method == "GET":
            assert statuses == {200: 10}
        else:
            assert set(servers.ids().values()) == {1}
            assert statuses.keys() == {200, 502}, "the client is told, and decides"


def test_a_clients_first_request_is_not_lost_on_a_connection_that_is_just_closed(
    edge: Edge, servers: Servers
) -> None:
    address = ADDRESSES[0]
    servers.closing.add(address)
    with servers.running(address):
        edge.apply({"web-0": address})
        assert [edge.get("POST")[0] for _ in range(10)] == [200] * 10
        assert set(servers.ids().values()) == {1}


def test_what_could_not_be_sent_goes_to_another_server(edge: Edge, servers: Servers) -> None:
    first, second, *_ = ADDRESSES
    with servers.running(second):
        with servers.running(first):
            edge.apply({"web-0": first, "web-1": second})
        assert {edge.get("POST") for _ in range(10)} == {(200, second)}
        assert set(servers.ids().values()) == {1}
        assert poll(lambda: edge.state("web-0")[0] == 0, 3), "ejected within 3 s"


def test_a_vm_that_vanishes_is_ejected_within_3_s_and_what_was_safe_is_answered() -> None:
    command = ["unshare", "--net", sys.executable, "-m", "tests.support.edge_vanishing"]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode == NO_VETH:
        pytest.skip("this kernel makes no veth pair, in which packets could vanish")
    assert result.returncode == 0, result.stderr
    seen = json.loads(result.stdout)
    print(f"\nvanished: {seen}")
    assert seen["ejected"] < 3
    assert seen["get"][0] == 200
    assert seen["get"][1] < 5
    assert seen["kept"][0] == [200]
    assert seen["kept"][1] < 5
    assert seen["post"][0] == 502
    assert seen["post"][1] < 5
    assert seen["meanwhile"] == [200]
    assert seen["posts_sent"] == 1
