"""What counts as a request in flight."""

import pytest

from remote.vm_agent import connections


def test_an_open_connection_is_told_from_one_that_waits_or_is_elsewhere() -> None:
    line = "   0: 0100007F:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 0"
    assert connections.is_connection(line.format(port=8080, state="01"), 8080)
    assert not connections.is_connection(line.format(port=8080, state="0A"), 8080)
    assert not connections.is_connection(line.format(port=8081, state="01"), 8080)


def test_a_connection_of_tcp_that_only_the_client_has_ended_is_in_flight() -> None:
    line = "   0: 0100007F:1F90 00000000:0000 08 00000000:00000000 00:00000000 0"
    assert connections.is_connection(line, 8080, "tcp")
    assert not connections.is_connection(line, 8080, "http")


@pytest.mark.parametrize(
    ("state", "unsent", "inode", "http", "tcp"),
    [
        ("04", 0, 77, False, True),
        ("05", 0, 77, False, True),
        ("05", 0, 0, False, False),
        ("04", 0, 0, False, False),
        ("04", 5000, 0, True, True),
        ("09", 5000, 0, True, True),
        ("0B", 5000, 0, True, True),
        ("09", 0, 77, False, False),
        ("06", 0, 0, False, False),
    ],
)
def test_one_that_the_container_has_ended_is_in_flight_while_it_reads_or_is_sent_from(
    state: str, unsent: int, inode: int, http: bool, tcp: bool
) -> None:
    line = (
        f"   0: 0100007F:1F90 0100007F:C350 {state} {unsent:08X}:00000000 01:00000000 00000000"
        f"     0        0 {inode} 1 0000000000000000 20 0 0 10 -1"
    )
    assert connections.is_connection(line, 8080, "http") == http
    assert connections.is_connection(line, 8080, "tcp") == tcp
