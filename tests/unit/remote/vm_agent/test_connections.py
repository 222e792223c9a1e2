"""What counts as a request in flight."""

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
