"""The table of `make status`, from what HAProxy and Docker answer."""

import json

from lab.live import Container, Row, containers, edge_states, table

STATS = """# pxname,svname,qcur,status,weight,
http,FRONTEND,,OPEN,,
hello,web-0,0,UP,2,
hello,web-1,0,DOWN,1,
hello,BACKEND,0,UP,3,
_next,current,0,no check,1,
_next,BACKEND,0,UP,1,
_nowhere,BACKEND,0,UP,0,
"""


def test_the_edges_states_by_vm_and_pool() -> None:
    assert edge_states(STATS) == {"web-0": {"hello": "UP"}, "web-1": {"hello": "DOWN"}}


def test_containers_by_slot_without_those_that_are_no_services() -> None:
    listed = [
        {
            "ID": "b1",
            "Labels": "gatehouse.slot=hello-web-0-1,traefik.enable=true",
            "State": "exited",
        },
        {
            "ID": "a0",
            "Labels": "gatehouse.slot=hello-web-0-0,traefik.enable=true",
            "State": "running",
        },
        {"ID": "c2", "Labels": "", "State": "running"},
    ]
    assert containers("\n".join(json.dumps(each) for each in listed)) == {
        "hello-web-0-0": Container(id="a0", state="running"),
        "hello-web-0-1": Container(id="b1", state="exited"),
    }


def test_the_table() -> None:
    rows = [
        Row(vm="web-0", address="10.90.0.7", containers="hello-web-0-0", edge="hello UP"),
        Row(vm="web-10", address="10.90.0.117", containers="none", edge="in no pool"),
    ]
    assert table(rows) == (
        "VM      ADDRESS      CONTAINERS     AT THE EDGE\n"
        "web-0   10.90.0.7    hello-web-0-0  hello UP\n"
        "web-10  10.90.0.117  none           in no pool"
    )
