"""Bodies of requests, limited by the edge: the real HAProxy, and Traefik behind it."""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest

from components.config.units import MEBIBYTE
from lab.loopback.site import Site, a_site
from lab.loopback.vm import Vm, vms
from remote.edge_agent.system import poll
from tests.support.containers import App
from tests.support.two_tiers import curl, running

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="the edge's HAProxy is started by root: run this as root"
)
HOST = "shop.example.org"
SHOP = f"http://{HOST}"


class Shop:
    """Both tiers, with one container."""

    def __init__(self, site: Site, vm: Vm, app: App) -> None:
        self.site, self._vm, self.app = site, vm, app
        vm.add("shop", site.stack({"shop": {}}), app)

    def serve(self, **http: Any) -> None:
        stack = self.site.stack({"shop": {"http": http}})
        self.site.apply(stack, {"shop": {"web-0": self._vm.web}})

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.site.port), timeout=30)

    def uploads(self) -> int:
        """Return how many have arrived as a whole."""
        return self.app.asked["POST /"]


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    app = App("app")
    with a_site() as site, vms(1) as (vm,), running(app):
        yield Shop(site, vm, app)


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def received(connection: socket.socket) -> int:
    """Return the status of an answer, or 0 if there is none."""
    with contextlib.suppress(OSError):
        return status_of(connection.recv(65_536))
    return 0


def chunked(shop: Shop, size: int, chunk: int = 16_000, trailer: bytes = b"") -> int:
    with shop.connect() as connection:
        connection.sendall(
            f"POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        with contextlib.suppress(OSError):
            while size:
                part = min(size, chunk)
                connection.sendall(b"%x\r\n%s\r\n" % (part, b"x" * part))
                size -= part
            connection.sendall(b"0\r\n" + trailer + b"\r\n")
        return received(connection)


def declared(shop: Shop, size: int) -> int:
    """Declare a length and send nothing; return the status, or 0 if more is waited for."""
    with shop.connect() as connection:
        connection.sendall(
            f"POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {size}\r\n\r\n".encode()
        )
        connection.settimeout(0.5)
        return received(connection)


class Streams:
    """A client with one connection of HTTP/2."""

    def __init__(self, shop: Shop) -> None:
        self._socket = shop.connect()
        self._protocol = h2.connection.H2Connection(
            h2.config.H2Configuration(validate_outbound_headers=False)
        )
        self._protocol.initiate_connection()
        self.statuses: dict[int, int] = {}

    def ask(self, method: str, *headers: tuple[str, str], end: bool) -> int:
        """Begin a request and return its stream."""
        stream = self._protocol.get_next_available_stream_id()
        own = {":method": method, ":path": "/", ":scheme": "http", ":authority": HOST}
        self._protocol.send_headers(stream, [*own.items(), *headers], end_stream=end)
        self.flush()
        return stream

    def send(self, stream: int, size: int) -> None:
        """Send a body to its end, or until there is an answer."""
        while size and stream not in self.statuses:
            part = min(size, self._protocol.local_flow_control_window(stream), 16_000)
            if not part:
                self.receive()
                continue
            self._protocol.send_data(stream, b"x" * part)
            self.flush()
            size -= part
        if stream not in self.statuses:
            self._protocol.end_stream(stream)
            self.flush()

    def flush(self) -> None:
        self._socket.sendall(self._protocol.data_to_send())

    def receive(self) -> None:
        data = self._socket.recv(65_536)
        assert data, "the connection ended"
        for event in self._protocol.receive_data(data):
            assert not isinstance(event, h2.events.ConnectionTerminated), event
            if isinstance(event, h2.events.ResponseReceived):
                self.statuses[event.stream_id] = int(dict(event.headers)[b":status"])
        self.flush()

    def status(self, stream: int) -> int:
        while stream not in self.statuses:
            self.receive()
        return self.statuses[stream]


def test_a_body_passes_up_to_the_limit_and_not_beyond_declared_or_not(
    shop: Shop, tmp_path: Path
) -> None:
    shop.serve(max_body="1MiB")
    for over in (0, 1, 500_000):
        wanted = 413 if over else 200
        body = tmp_path / "body"
        body.write_bytes(b"x" * (MEBIBYTE + over))
        before = shop.uploads()
        assert curl(shop.site, SHOP, "--data-binary", f"@{body}").status == wanted
        assert chunked(shop, MEBIBYTE + over) in {wanted, over and 0}
        assert chunked(shop, MEBIBYTE + over, 7, b"a: b\r\n" * 9) in {wanted, over and 0}
        streams = Streams(shop)
        stream = streams.ask("POST", end=False)
        streams.send(stream, MEBIBYTE + over)
        assert streams.status(stream) == wanted
        after = streams.ask("GET", end=True)
        assert streams.status(after) == 200, "on the same connection"
        assert shop.uploads() == before + (0 if over else 4), "none is taken for a whole one"


def test_an_answer_comes_for_one_byte_too_many_of_a_body_that_is_all_sent(shop: Shop) -> None:
    shop.serve(max_body="1MiB")
    assert [chunked(shop, MEBIBYTE + 1) for _ in range(20)] == [413] * 20


@pytest.mark.parametrize(
    ("limit", "size", "refused"),
    [
        ("1MiB", 2**31, True),
        ("1MiB", 3_000_000_000, True),
        ("1MiB", 2**32 + 1, True),
        ("1MiB", 2**32 + 2**20, True),
        ("3GiB", 3 * 2**30, False),
        ("3GiB", 3 * 2**30 + 1, True),
        ("2TiB", 2**41, False),
        ("2TiB", 2**41 + 1, True),
        ("2TiB", 2**63 - 1, True),
    ],
)
def test_lengths_have_more_than_32_bits(shop: Shop, limit: str, size: int, refused: bool) -> None:
    shop.serve(max_body=limit)
    assert declared(shop, size) == (413 if refused else 0)
    streams = Streams(shop)
    stream = streams.ask("POST", ("content-length", str(size)), end=False)
    if refused:
        assert streams.status(stream) == 413
    else:
        after = streams.ask("GET", end=True)
        assert streams.status(after) == 200
        assert stream not in streams.statuses


def test_a_header_of_an_upgrade_is_no_way_past_a_limit(shop: Shop) -> None:
    shop.serve(max_body="1MiB")
    before = shop.uploads()
    with shop.connect() as connection:
        connection.sendall(
            f"POST / HTTP/1.1\r\nHost: {HOST}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        with contextlib.suppress(OSError):
            connection.sendall(b"%x\r\n%s\r\n0\r\n\r\n" % (2 * MEBIBYTE, b"x" * 2 * MEBIBYTE))
        assert received(connection) in {413, 400, 0}  # the 400 is HAProxy 3.0's own
    assert shop.uploads() == before


def test_an_error_page_stands_for_a_body_that_is_cut(shop: Shop, tmp_path: Path) -> None:
    pages = {}
    for status in ("408", "413"):
        page = tmp_path / status
        page.write_text(f'<p title="100% ${status}">’{status}’</p>\n')
        pages[status] = str(page)
    shop.serve(max_body="1MiB", error_pages=pages, headers={"X-Frame-Options": "DENY"})
    body = tmp_path / "body"
    body.write_bytes(b"x" * (MEBIBYTE + 1))
    untold = ("--header", "Transfer-Encoding: chunked", "--header", "Expect:")
    answer = curl(shop.site, SHOP, "--data-binary", f"@{body}", *untold)
    assert (answer.status, answer.body) == (413, (tmp_path / "413").read_bytes())
    assert answer.header("x-frame-options") == "DENY"
    assert answer.header("x-request-id")
    shop.serve(body_timeout="1s", error_pages=pages)
    slow = trickle(shop, lambda seconds: seconds < 20, "Content-Length: 1000000", b"x")
    assert status_of(slow) == 408
    assert slow.endswith(b"\r\n\r\n" + (tmp_path / "408").read_bytes())


def trickle(shop: Shop, until: Callable[[float], bool], headers: str, part: bytes) -> bytes:
    """Send one byte every 0.1 s and return the answer, empty if there is none in time."""
    began = time.monotonic()
    with shop.connect() as connection:
        connection.sendall(f"POST / HTTP/1.1\r\nHost: {HOST}\r\n{headers}\r\n\r\n".encode())
        connection.settimeout(0.1)
        while until(time.monotonic() - began):
            with contextlib.suppress(TimeoutError):
                return connection.recv(65_536)
            with contextlib.suppress(OSError):
                connection.sendall(part)
        return b""


TRICKLES = (
    ("Content-Length: 1000000", b"x"),
    ("Transfer-Encoding: chunked", b"1\r\nx\r\n"),
)


@pytest.mark.parametrize(("headers", "part"), TRICKLES)
def test_a_body_that_trickles_is_cut(shop: Shop, headers: str, part: bytes) -> None:
    shop.serve(body_timeout="1s")
    for _ in range(2):
        assert status_of(trickle(shop, lambda seconds: seconds < 20, headers, part)) == 408
    assert curl(shop.site, SHOP, "--data", "x").status == 200


def test_what_came_quickly_at_first_is_no_credit(shop: Shop) -> None:
    shop.serve(body_timeout="1s")
    with shop.connect() as connection:
        connection.sendall(
            f"POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 100000000\r\n\r\n".encode()
            + b"x" * 1_000_000
        )
        connection.settimeout(0.1)
        status = 0

        def cut() -> bool:
            nonlocal status
            with contextlib.suppress(TimeoutError):
                status = status_of(connection.recv(65_536))
                return True
            with contextlib.suppress(OSError):
                connection.sendall(b"x")
            return False

        assert poll(cut, 20)
        assert status == 408


def test_a_slow_body_above_the_least_rate_passes(shop: Shop) -> None:
    shop.serve(body_timeout="1s")
    size, part = 6_000, 200
    with shop.connect() as connection:
        connection.sendall(
            f"POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {size}\r\n\r\n".encode()
        )
        for _ in range(size // part):
            connection.sendall(b"x" * part)
            time.sleep(0.1)  # that is what is tested: 2,000 bytes/s for 3 s
        assert received(connection) == 200


@pytest.mark.parametrize("http", [{"body_timeout": False}, {"protocol": "h2c"}])
def test_a_body_may_trickle_where_the_config_says_so(shop: Shop, http: dict[str, Any]) -> None:
    shop.serve(**http)
    assert trickle(shop, lambda seconds: seconds < 3, "Content-Length: 1000000", b"x") == b""


def test_a_stream_that_trickles_is_cut_where_the_config_says_so(shop: Shop) -> None:
    shop.serve(protocol="h2c", body_timeout="1s")
    for headers, part in TRICKLES:
        assert status_of(trickle(shop, lambda seconds: seconds < 20, headers, part)) == 408
    assert curl(shop.site, SHOP, "--data", "x").status == 200


def test_an_application_that_reads_slowly_cuts_no_body(shop: Shop, tmp_path: Path) -> None:
    shop.serve(body_timeout="1s")
    body = tmp_path / "body"
    body.write_bytes(b"x" * 12 * MEBIBYTE)
    for options in ((), ("--header", "Transfer-Encoding: chunked")):
        answer = curl(shop.site, f"{SHOP}/slow", "--data-binary", f"@{body}", *options)
        assert (answer.status, answer.json["length"]) == (200, 12 * MEBIBYTE)
