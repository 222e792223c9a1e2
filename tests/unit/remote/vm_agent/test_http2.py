"""Health checks over HTTP/2, and as calls of gRPC's."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import h2.config
import h2.connection
import h2.events
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from remote.vm_agent import http2
from remote.vm_agent.http2 import http2_status
from tests.support.containers import Calls

GRPC = "/grpc.health.v1.Health/Check"


def test_a_grpc_server_without_a_health_service_answers() -> None:
    calls = Calls("calls")
    try:
        server = (calls.address, calls.port)
        assert http2_status(server, "calls.example.org", GRPC, 10) == 200
    finally:
        calls.stop()
    with pytest.raises(OSError, match=r"refused|reset"):
        http2_status(server, "calls.example.org", GRPC, 10)


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
        assert http2_status(("127.0.0.1", port), "app.example.org", path, 10) == status
    (heard,) = said
    assert (heard[b":path"], heard[b":authority"]) == (path.encode(), b"app.example.org")
    assert heard[b":method"] == b"GET"


@example(b"\x3f")
@example(b"\x3f\xff\xff")
@example(b"\x08\x81\xff")
@example(b"\x08\x82\xff\xff")
@given(st.binary(max_size=40))
def test_what_is_no_answer_is_an_error_or_no_status(sent: bytes) -> None:
    assert http2._hpack_status(sent) >= 0
