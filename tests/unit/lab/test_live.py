"""The tables of `make status`, from what HAProxy and Docker answer."""

import os
import shutil
import subprocess
import threading
from http.server import ThreadingHTTPServer
from typing import Any

import pytest

from lab.live import LIST, LiveContainer, LiveServer, containers, edge_states, servers, status
from lab.loopback.docker import DockerApi

# The head and lines of HAProxy 2.6, without the columns between that are not read.
STATS = """\
# pxname,svname,qcur,scur,status,weight,rate,check_status,check_code,check_duration,last_chk,
http,FRONTEND,,7,OPEN,,9,,,,,
hello,web-0,0,2,UP,2,12,* L7OK,200,3,Layer7 check passed,
hello,web-1,0,0,DOWN,1,0,L4CON,,0,Connection refused,
hello,BACKEND,0,2,UP,2,12,,,,,
shop,web-0,0,0,UP 1/2,1,0,L7STS,503,4,Service Unavailable,
shop,BACKEND,0,0,UP,1,0,,,,,
_next,current,0,0,no check,1,0,,,,,
_next,BACKEND,0,0,UP,1,0,,,,,
_nowhere,BACKEND,0,0,UP,0,0,,,,,
_stats,FRONTEND,,1,OPEN,,1,,,,,
_metrics,web-0,0,0,no check,1,0,,,,,
"""
OUTPUTS: dict[str, Any] = {
    "vms": {"web-0": {"address": "10.90.0.7"}, "web-1": {"address": "10.90.0.117"}}
}
FOUND: dict[str, dict[str, LiveContainer] | None] = {
    "web-0": {
        "hello-web-0-0": LiveContainer(id="a0", state="running"),
        "shop-web-0-0": LiveContainer(id="b0", state="restarting"),
    },
    "web-1": None,
}


def test_the_edges_states_by_vm_and_pool() -> None:
    assert edge_states(STATS) == {
        "web-0": {"hello": "UP", "shop": "UP 1/2"},
        "web-1": {"hello": "DOWN"},
    }


def test_the_servers_of_services_alone() -> None:
    first, *rest = servers(STATS)
    assert first == LiveServer(
        service="hello",
        vm="web-0",
        state="UP",
        weight=2,
        sessions=2,
        rate=12,
        check="L7OK/200 in 3 ms",
    )
    assert {each.service for each in rest} == {"hello", "shop"}


def test_a_check_under_way_has_no_status_yet() -> None:
    head = STATS.splitlines()[0]
    lines = [
        "hello,web-0,0,2,UP,2,12,* L7OK,0,3,Layer7 check passed,",
        "hello,web-1,0,2,DOWN,2,12,* L7STS,0,3,Service Unavailable,",
        "hello,web-2,0,2,DOWN,2,12,L7TOUT,0,800,,",
    ]
    assert [each.check for each in servers("\n".join((head, *lines)))] == [
        "L7OK in 3 ms",
        "L7STS in 3 ms: Service Unavailable",
        "L7TOUT in 800 ms",
    ]


LISTED = [
    {
        "Id": "b1",
        "Labels": {"a": "x,gatehouse.slot=shop-web-0-9,y", "gatehouse.slot": "hello-web-0-1"},
        "State": "exited",
    },
    {
        "Id": "a0",
        "Labels": {"gatehouse.slot": "hello-web-0-0", "rule": "Host(`a`) && b=c,\nd", "z": '"'},
        "State": "running",
    },
    {"Id": "c2", "Labels": {"b": "1,gatehouse.slot=shop-web-0-0"}, "State": "running"},
    {"Id": "d3", "Labels": {}, "State": "running"},
]
"""Containers as Docker's API lists them."""


@pytest.mark.skipif(shutil.which("docker") is None, reason="docker is not installed here")
def test_containers_by_slot_whatever_else_their_labels_say() -> None:
    class Api(DockerApi):
        def told(self, path: str) -> Any:
            return LISTED if path == "/containers/json" else {}

    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        listed = subprocess.run(
            ("/bin/sh", "-c", LIST),
            env={**os.environ, "DOCKER_HOST": f"tcp://127.0.0.1:{server.server_port}"},
            capture_output=True,
            text=True,
        )
        server.shutdown()
    assert listed.returncode == 0, listed.stderr
    assert containers(listed.stdout) == {
        "hello-web-0-0": LiveContainer(id="a0", state="running"),
        "hello-web-0-1": LiveContainer(id="b1", state="exited"),
    }


def test_the_tables() -> None:
    assert status(OUTPUTS, FOUND, STATS) == (
        "VM     ADDRESS      CONTAINERS                                AT THE EDGE\n"
        "web-0  10.90.0.7    hello-web-0-0, shop-web-0-0 (restarting)  hello UP, shop UP 1/2\n"
        "web-1  10.90.0.117  Docker does not answer                    hello DOWN\n"
        "\n"
        "SERVICE  VM     STATE   WEIGHT  SESSIONS  RATE  LAST CHECK\n"
        "hello    web-0  UP      2       2         12/s  L7OK/200 in 3 ms\n"
        "hello    web-1  DOWN    1       0         0/s   L4CON in 0 ms: Connection refused\n"
        "hello    all    UP      2       2         12/s\n"
        "shop     web-0  UP 1/2  1       0         0/s   L7STS/503 in 4 ms: Service Unavailable\n"
        "shop     all    UP      1       0         0/s"
    )


def test_the_table_while_the_edge_is_away() -> None:
    assert status(OUTPUTS, {"web-0": {}, "web-1": {}}, None) == (
        "VM     ADDRESS      CONTAINERS  AT THE EDGE\n"
        "web-0  10.90.0.7    none        edge does not answer\n"
        "web-1  10.90.0.117  none        edge does not answer"
    )
