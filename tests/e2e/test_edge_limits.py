"""How long headers may be, and how much one client may have at once: through both tiers."""

import contextlib
import http.client
import os
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from lab.loopback.site import Site, a_site
from lab.loopback.vm import vms
from remote.edge_agent.memory import connections, descriptors
from remote.edge_agent.system import poll
from tests.support.containers import App
from tests.support.two_tiers import curl, running

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="the edge's HAProxy is started by root: run this as root"
)
HOST = "shop.example.org"
SHOP = f"http://{HOST}"
H2 = "--http2-prior-knowledge"
KIBIBYTE = 1024


def lines(count: int, size: int) -> dict[str, str]:
    """Return headers of so many bytes together, as HTTP/1.1 sends them."""
    each, rest = divmod(size, count)
    made = {}
    for number in range(count):
        name = f"X-Long-{number:03}"
        made[name] = "a" * (each + (rest if number == 0 else 0) - len(name) - len(": \r\n"))
    return made


class Long(App):
    """Answers `/answer/<count>/<size>` with such headers, and else with how many came."""

    def answer(
        self, path: str, headers: Mapping[str, str], _: int, /
    ) -> tuple[int, Mapping[str, str], bytes]:
        wanted = re.fullmatch(r"/answer/(\d+)/(\d+)", path)
        if wanted is None:
            long = [len(f"{key}: {value}\r\n") for key, value in headers.items() if "Long" in key]
            return 200, {}, f"{len(long)} {sum(long)}".encode()
        return 200, lines(int(wanted[1]), int(wanted[2])), b"ok"


class Shop:
    """Both tiers, with one container."""

    def __init__(self, site: Site, address: str) -> None:
        self.site, self._address = site, address

    def serve(self, **http: Any) -> None:
        stack = self.site.stack({"shop": {"http": http}})
        self.site.apply(stack, {"shop": {"web-0": self._address}})

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.site.port), timeout=30)


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setattr(http.client, "_MAXHEADERS", 1000)  # the container's own limit is 100
    app = Long("app")
    with a_site() as site, vms(1) as (vm,), running(app):
        vm.add("shop", site.stack({"shop": {}}), app)
        made = Shop(site, vm.web)
        made.serve()
        yield made


SHAPES = [(1, 63 * KIBIBYTE), (8, 63 * KIBIBYTE), (300, 50_000), (32, 20_000)]


@pytest.mark.parametrize(("count", "size"), SHAPES)
def test_headers_of_64_kib_pass_both_ways(
    shop: Shop, tmp_path: Path, count: int, size: int
) -> None:
    sent = tmp_path / "headers"
    sent.write_text("".join(f"{key}: {value}\n" for key, value in lines(count, size).items()))
    for options in ((), (H2,)):
        answer = curl(shop.site, SHOP, "--header", f"@{sent}", *options)
        assert (answer.status, answer.body.decode()) == (200, f"{count} {size}")
        answer = curl(shop.site, f"{SHOP}/answer/{count}/{size}", *options)
        assert (answer.status, answer.body) == (200, b"ok")
        got = {key: value for key, value in answer.headers if key.startswith("x-long")}
        assert got == {key.lower(): value for key, value in lines(count, size).items()}


def test_long_headers_of_the_config_take_no_room_from_anybody(shop: Shop, tmp_path: Path) -> None:
    count, size = SHAPES[1]
    sent = tmp_path / "headers"
    sent.write_text("".join(f"{key}: {value}\n" for key, value in lines(count, size).items()))
    shop.serve(headers={f"X-Own-{number}": "y" * 480 for number in range(6)})
    answer = curl(shop.site, f"{SHOP}/answer/{count}/{size}", "--header", f"@{sent}")
    assert answer.status == 200
    assert answer.header("x-own-5") == "y" * 480


def test_headers_that_are_too_long_are_refused(shop: Shop, tmp_path: Path) -> None:
    sent = tmp_path / "headers"
    sent.write_text("".join(f"{key}: {value}\n" for key, value in lines(8, 100_000).items()))
    assert curl(shop.site, SHOP, "--header", f"@{sent}").status == 400
    for options in ((), (H2,)):
        assert curl(shop.site, f"{SHOP}/answer/8/100000", *options).status == 502
        assert curl(shop.site, SHOP, *options).status == 200


def test_headers_a_little_too_long_end_their_stream_and_no_other(shop: Shop) -> None:
    protocol = h2.connection.H2Connection(
        h2.config.H2Configuration(validate_outbound_headers=False)
    )
    protocol.initiate_connection()
    own = [(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", HOST)]
    seen: dict[int, str] = {}
    with shop.connect() as connection:
        for stream, long in ((1, {}), (3, lines(8, 76_000)), (5, {})):
            headers = [*own, *((key.lower(), value) for key, value in long.items())]
            protocol.send_headers(stream, headers, end_stream=True)
            connection.sendall(protocol.data_to_send())
        while len(seen) < 3:
            data = connection.recv(65_536)
            assert data, "the connection ended"
            for event in protocol.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    seen[event.stream_id] = dict(event.headers)[b":status"].decode()
                elif isinstance(event, h2.events.StreamReset):
                    seen[event.stream_id] = "reset"
    assert seen == {1: "200", 3: "reset", 5: "200"}


def hold(shop: Shop, count: int) -> tuple[list[socket.socket], int]:
    """Open connections that ask once and stay; return them, and how many were answered."""
    opened: list[socket.socket] = []
    answered = 0
    for _ in range(count):
        # One too many may be reset before its connect() is done.
        with contextlib.suppress(OSError):
            each = shop.connect()
            opened.append(each)
            each.sendall(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            answered += each.recv(100).startswith(b"HTTP/1.1 200 ")
    return opened, answered


def test_one_client_has_so_many_connections_and_others_have_theirs(shop: Shop) -> None:
    shop.site.edge["client_connections"] = 5
    shop.serve(headers={"X-A": "b"})
    opened, answered = hold(shop, 8)
    assert answered == 5
    assert curl(shop.site, SHOP, "--interface", "127.0.0.9").status == 200
    for each in opened:
        each.close()
    assert poll(lambda: hold_one(shop), 10), "when they are closed, there is room again"


def hold_one(shop: Shop) -> bool:
    opened, answered = hold(shop, 1)
    for each in opened:
        each.close()
    return answered == 1


def test_one_client_has_so_many_requests_in_flight(shop: Shop) -> None:
    shop.site.edge["client_connections"] = 3
    shop.serve(headers={"X-A": "b"})
    protocol = h2.connection.H2Connection()
    protocol.initiate_connection()
    with shop.connect() as connection:
        for stream in range(1, 13, 2):
            headers = [(":method", "POST"), (":path", "/"), (":scheme", "http")]
            protocol.send_headers(stream, [*headers, (":authority", HOST)])
        connection.sendall(protocol.data_to_send())
        refused: set[int] = set()
        while len(refused) < 3:
            for event in protocol.receive_data(connection.recv(65_536)):
                if isinstance(event, h2.events.ResponseReceived):
                    assert dict(event.headers)[b":status"] == b"429"
                    refused.add(event.stream_id)
    assert refused == {7, 9, 11}


def test_there_is_no_limit_where_the_config_says_so(shop: Shop) -> None:
    shop.site.edge["client_connections"] = False
    shop.serve(headers={"X-A": "b"})
    opened, answered = hold(shop, 20)
    assert answered == 20
    for each in opened:
        each.close()


def maxconn(shop: Shop) -> int:
    found = re.search(r"^Maxconn: (\d+)", shop.site.ask("show info"), re.MULTILINE)
    assert found is not None
    return int(found[1])


def test_connections_are_limited_by_memory_or_by_the_config(shop: Shop) -> None:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    text = shop.site.instance.live.read_text()
    assert f"fd-hard-limit {descriptors(connections(memory), 1)}\n" in text
    assert maxconn(shop) <= connections(memory) + 250
    shop.site.edge["max_connections"] = 700
    shop.serve()
    assert 700 <= maxconn(shop) <= 950


def test_slow_clients_do_not_hold_an_application_for_good(shop: Shop) -> None:
    """Fifty that send a byte now and then."""
    shop.serve(body_timeout="1s")
    done = threading.Event()
    ended = threading.Semaphore(0)

    def client() -> None:
        with shop.connect() as connection, contextlib.suppress(OSError):
            connection.sendall(
                f"POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 99999\r\n\r\n".encode()
            )
            connection.settimeout(0.3)
            while not done.is_set():
                connection.sendall(b"x")
                with contextlib.suppress(TimeoutError):
                    connection.recv(1)
                    break
        ended.release()

    clients = [threading.Thread(target=client) for _ in range(50)]
    for each in clients:
        each.start()
    try:
        assert all(ended.acquire(timeout=30) for _ in clients)
        assert curl(shop.site, SHOP).status == 200
    finally:
        done.set()
        for each in clients:
            each.join()
