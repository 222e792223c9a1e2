"""Health checks over HTTP/1.1, and answers that do not end."""

import contextlib
import socket
import threading
from collections.abc import Callable

import pytest

from remote.vm_agent import http1, http2
from remote.vm_agent.http1 import http1_status
from remote.vm_agent.http2 import http2_status


@pytest.mark.parametrize(
    ("ask", "said", "again"),
    [
        (http1_status, b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (http1_status, b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (http2_status, http2._frame(4, 0, 0, b""), http2._frame(6, 0, 0, bytes(8))),
    ],
)
def test_an_answer_that_does_not_end_is_none(
    ask: Callable[[tuple[str, int], str, str, float], int], said: bytes, again: bytes
) -> None:
    over = threading.Event()

    def serve() -> None:
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(said)
            while not over.wait(0.01):
                connection.sendall(again)

    with socket.create_server(("127.0.0.1", 0)) as server:
        serving = threading.Thread(target=serve)
        serving.start()
        asked = []

        def check() -> None:
            with pytest.raises(TimeoutError):
                ask(server.getsockname(), "app.example.org", "/", 0.3)
            asked.append("it gave up")

        asking = threading.Thread(target=check)
        asking.start()
        asking.join(30)
        given_up = list(asked)
        over.set()
        serving.join()
        asking.join()
    assert given_up == ["it gave up"]


@pytest.mark.parametrize("size", [0, 10, 65_536, 131_072, 2**31])
def test_an_answer_of_any_size_is_one_and_its_application_sees_no_reset(size: int) -> None:
    seen: list[object] = []

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.settimeout(30)
            try:
                while not connection.recv(65_536).endswith(b"\r\n\r\n"):
                    pass
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
                connection.sendall(bytes(min(size, 131_072)))
                seen.append(connection.recv(1))
            except OSError as error:
                seen.append(error)

    with socket.create_server(("127.0.0.1", 0)) as server:
        serving = threading.Thread(target=serve)
        serving.start()
        assert http1_status(server.getsockname(), "app.example.org", "/", 30) == 200
        serving.join()
    if size <= http1.READ:
        assert seen == [b""]
