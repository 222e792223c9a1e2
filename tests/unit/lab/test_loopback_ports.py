"""Ports that a server gets some time after they were asked for."""

import socket
from pathlib import Path

from lab.loopback.ports import free_ports

TAKEN_BY_CONNECTIONS = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_no_connection_takes_a_port_before_its_server_comes() -> None:
    first, _ = map(int, TAKEN_BY_CONNECTIONS.read_text().split())
    assert max(free_ports(100)) < first


def test_a_port_comes_again_only_after_all_others() -> None:
    assert len({port for _ in range(20) for port in free_ports(5)}) == 100


def test_what_somebody_has_is_left_out() -> None:
    ports = free_ports(250)
    with socket.create_server(("127.0.0.1", ports[10])):
        assert ports[10] not in free_ports(240)
