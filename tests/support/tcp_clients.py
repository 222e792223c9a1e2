"""Clients of a TCP service behind both tiers on loopback."""

import contextlib
import socket
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator

from tests.support.tcp_site import TCP_PORT
from tests.support.virtual import BYE


@contextlib.contextmanager
def connected() -> Iterator[tuple[socket.socket, str]]:
    """Connect to the edge, and give the connection and who greeted."""
    with socket.create_connection(("127.0.0.1", TCP_PORT), timeout=20) as connection:
        yield connection, received(connection, 64).decode()


def received(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise ConnectionError(f"closed after {len(data)} bytes of {count}")
        data += more
    return bytes(data)


def echo(connection: socket.socket) -> None:
    message = uuid.uuid4().bytes
    connection.sendall(message)
    answer = received(connection, len(message))
    assert answer == message


def end(connection: socket.socket) -> None:
    """End the client's half; the container has something to say yet."""
    connection.shutdown(socket.SHUT_WR)
    assert received(connection, len(BYE)) == BYE
    assert connection.recv(1) == b""


def short(load: "Load") -> None:
    """A connection for one message."""
    with connected() as (connection, _):
        echo(connection)
        end(connection)
    load.done["short"] += 1


def talking(load: "Load") -> None:
    """A connection for a while."""
    with connected() as (connection, _):
        for _ in range(20):
            echo(connection)
            load.over.wait(0.05)
        end(connection)
    load.done["talking"] += 1


def silent(load: "Load") -> None:
    """One on which nothing happens for a while."""
    with connected() as (connection, _):
        load.over.wait(1)
        echo(connection)
        end(connection)
    load.done["silent"] += 1


class Load:
    """Clients that connect again and again and never try twice, and what they saw."""

    def __init__(self) -> None:
        self.done = Counter[str]()
        self.errors: list[str] = []
        self.over = threading.Event()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        clients = [short] * 4 + [talking] * 4 + [silent] * 4
        threads = [threading.Thread(target=self._run, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.over.set()
            for thread in threads:
                thread.join()

    def _run(self, client: Callable[["Load"], None]) -> None:
        while not self.over.is_set():
            try:
                client(self)
            except Exception as error:
                self.errors.append(f"{client.__name__}: {error!r}")


def who() -> str:
    with connected() as (_, name):
        return name


def all_who() -> set[str]:
    return {who() for _ in range(8)}
