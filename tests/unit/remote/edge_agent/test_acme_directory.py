"""Whether an ACME server is there, by its directory."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from remote.edge_agent import acme, install
from remote.edge_agent.certificates import AcmeServer

SERVER = AcmeServer(email="a@b.org", directory="https://acme.example/dir", ca=None)


@contextlib.contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[AcmeServer]:
    """Yield a server whose certificate nobody asks for, as it answers in plain."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listening.accept()
                with connection:
                    connection.recv(4096)
                    answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield replace(SERVER, directory=f"http://127.0.0.1:{listening.getsockname()[1]}/dir")


def trickling(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(100):
        connection.sendall(b" ")
        time.sleep(0.1)


def trickling_headers(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    for _ in range(100):
        connection.sendall(b"x")
        time.sleep(0.1)


def endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(1000):
        connection.sendall(b" " * 2**20)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (trickling, "no complete answer after 1 s"),
        (trickling_headers, "no complete answer after 1 s"),
        (endless, "it is longer than 1048576 bytes"),
        (lambda _: None, "Remote end closed connection without response"),
        (lambda each: each.sendall(b"HTTP/1.1 200 OK\r\n\r\n{}"), None),
        (lambda each: each.sendall(b"hello\r\n\r\n"), "hello"),
        (
            lambda each: each.sendall(b"HTTP/1.1 301 x\r\nLocation: http://[/\r\n\r\n"),
            "Invalid IPv6 URL",
        ),
    ],
    ids=["trickles", "trickles in headers", "endless", "nothing", "right", "odd", "odd redirect"],
)
def test_a_directory_that_never_ends_holds_nothing_up(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[socket.socket], None], why: str | None
) -> None:
    # Only those that never end need a short limit; others may take long on a busy machine.
    is_endless = why is not None and "after 1 s" in why
    monkeypatch.setattr(acme, "_DIRECTORY_SECONDS", 1.0 if is_endless else 60.0)
    monkeypatch.setattr(install, "program", lambda name: name)
    with server(answer) as asked:
        told = acme._unready(asked)
    assert (told is None) if why is None else (told is not None and why in told), told
