"""What the edge does to HTTP, as a client notices it: the real HAProxy, with Traefik behind it."""

import base64
import http.client
import json
import os
import re
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.config.loading import ConfigError
from components.edge.pages import MOST_BYTES
from lab.loopback.site import Site, a_site
from remote.edge_agent.bundle import unpack
from remote.edge_agent.system import poll
from tests.support import golden
from tests.support.containers import App, Calls, Sockets
from tests.support.two_tiers import curl, curl_command, http2_upload, running
from tests.unit.test_fuzz import haproxy_accepts

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="the edge's HAProxy is started by root: run this as root"
)
SHOP = "http://shop.example.org"
H2 = "--http2-prior-knowledge"


@pytest.fixture
def site() -> Iterator[Site]:
    with a_site() as made:
        yield made


@pytest.fixture
def app() -> Iterator[App]:
    made = App("app")
    with running(made):
        yield made


def at(container: App | Sockets | Calls) -> str:
    return f"{container.address}:{container.port}"


def serve(site: Site, app: App, **http: Any) -> None:
    """Have the edge send requests for the service `shop` to one server."""
    stack = site.stack({"shop": {"http": http}})
    site.apply(stack, {"shop": {"web-0": at(app)}})


def hashed(password: str, algorithm: str = "-6") -> str:
    command = ("openssl", "passwd", algorithm, password)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


# Balance.


def test_the_one_with_the_fewest_requests_in_flight_is_next(site: Site) -> None:
    slow, quick = App("slow"), App("quick")
    with running(slow, quick):
        stack = site.stack({"shop": {"http": {"balance": "leastconn"}}})
        site.apply(stack, {"shop": {"web-0": at(slow), "web-1": at(quick)}})
        holding = []
        for _ in range(4):
            thread = threading.Thread(target=curl, args=(site, f"{SHOP}/hold"))
            thread.start()
            holding.append(thread)
            assert poll(lambda: slow.held.acquire(blocking=False), 0.2) or quick.held.acquire(
                timeout=10
            )
            quick.hold.set()
        # Those held by the quick one have ended; the slow one has at least two.
        assert {curl(site, SHOP).json["name"] for _ in range(6)} == {"quick"}
        slow.hold.set()
        for thread in holding:
            thread.join()


# Rate limits.


def statuses(site: Site, times: int, *options: str) -> list[int]:
    return [curl(site, SHOP, *options).status for _ in range(times)]


def test_a_client_that_asks_too_often_is_told_to_wait_and_others_are_not(
    site: Site, app: App
) -> None:
    serve(site, app, rate_limit={"requests": 5, "per": "1h"})
    assert statuses(site, 5) == [200] * 5
    answer = curl(site, SHOP)
    assert (answer.status, answer.header("retry-after")) == (429, "3600")
    assert b"Too many requests" in answer.body
    assert statuses(site, 2, "--interface", "127.0.0.9") == [200, 200]


def counts(site: Site) -> list[int]:
    """Return how often each client has asked, as the current worker knows."""
    lines = site.ask("show table shop").splitlines()
    return [int(line.rpartition("=")[2]) for line in lines if "key=" in line]


def would_tell(site: Site) -> bool:
    """Whether the current worker will tell the next one how often clients have asked.

    One of HAProxy 2.6 that none was before does so when it has waited 5 s for one that could.
    """
    flags = re.search(r"id=gatehouse disabled=0 flags=0x([0-9a-f]+)", site.ask("show peers"))
    return flags is not None and int(flags[1], 16) & 3 == 3


def test_a_limit_survives_reloads(site: Site, app: App) -> None:
    limit = {"requests": 5, "per": "1h"}
    serve(site, app, rate_limit=limit)
    for number in range(2, 12):
        statuses(site, 3, "--interface", f"127.0.0.{number}")
    assert poll(lambda: would_tell(site), 30)
    for number in range(10):
        serve(site, app, rate_limit=limit, headers={"X-Reload": str(number)})
        started = time.monotonic()
        assert poll(lambda: counts(site) == [3] * 10, 10), f"after {number + 1} reloads"
        print(f"told to the next worker {time.monotonic() - started:.3f} s after the reload")
    assert statuses(site, 3, "--interface", "127.0.0.2") == [200, 200, 429]


def test_a_limit_counts_what_a_connection_to_an_older_worker_sends(site: Site, app: App) -> None:
    limit = {"requests": 5, "per": "1h"}
    serve(site, app, rate_limit=limit)
    connection = http.client.HTTPConnection(site.address, timeout=10)

    def ask() -> int:
        connection.request("GET", "/", headers={"Host": "shop.example.org"})
        answer = connection.getresponse()
        answer.read()
        return answer.status

    assert [ask() for _ in range(3)] == [200] * 3
    assert poll(lambda: would_tell(site), 30)
    serve(site, app, rate_limit=limit, headers={"X-Reload": "1"})
    assert poll(lambda: counts(site) == [3], 10)
    assert ask() == 200, "by the current worker, and the connection is closed after it"
    assert statuses(site, 2) == [200, 429]


# Who may in.


@pytest.mark.parametrize("algorithm", ["-5", "-6"])
def test_a_password_is_asked_for(site: Site, app: App, algorithm: str) -> None:
    users = {"alice": hashed("open sesame", algorithm), "bob@example.org": hashed("other")}
    serve(site, app, basic_auth=users)
    refused = curl(site, SHOP)
    assert (refused.status, refused.header("www-authenticate")) == (401, 'Basic realm="shop"')
    assert curl(site, SHOP, "--user", "alice:open sesame").status == 200
    assert curl(site, SHOP, "--user", "bob@example.org:other", H2).status == 200
    assert statuses(site, 1, "--user", "alice:other") == [401]
    assert statuses(site, 1, "--user", "nobody:other") == [401]
    both = [
        each
        for words in (b"alice:open sesame", b"nobody:other")
        for each in ("--header", f"Authorization: Basic {base64.b64encode(words).decode()}")
    ]
    assert statuses(site, 1, *both[:2]) == [200]
    assert statuses(site, 1, *both) == [400], "an application might believe the other one"
    for other in ("Bearer admin", both[3].removeprefix("Authorization: ")):
        one = (both[0], f"{both[1]}, {other}")
        assert statuses(site, 1, *one) == [400], "which is the same as two headers"
    serve(site, app, basic_auth={"alice": hashed("changed")})
    assert statuses(site, 1, "--user", "alice:open sesame") == [401]
    assert statuses(site, 1, "--user", "alice:changed") == [200]


def test_only_clients_of_some_networks_may_in(site: Site, app: App, tmp_path: Path) -> None:
    page = tmp_path / "no.html"
    page.write_text("<h1>Not for you</h1>")
    serve(site, app, allow=["127.0.0.8/31", "2001:db8::/32"], error_pages={"403": str(page)})
    refused = curl(site, SHOP)
    assert (refused.status, refused.body) == (403, b"<h1>Not for you</h1>")
    assert statuses(site, 1, "--interface", "127.0.0.9") == [200]
    forged = ("--header", "X-Forwarded-For: 127.0.0.9", "--header", "Forwarded: for=127.0.0.9")
    assert statuses(site, 1, *forged) == [403]


def status_for(site: Site, client: str) -> int:
    """Ask as a client of any address does, through the socket that names it to the next worker."""
    kind = "TCP6" if ":" in client else "TCP4"
    local = "2001:db8::1" if ":" in client else "192.0.2.1"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(site.instance.folder / "next.sock"))
        head = f"PROXY {kind} {client} {local} 4000 80\r\nGET / HTTP/1.1\r\n"
        connection.sendall(f"{head}Host: shop.example.org\r\nConnection: close\r\n\r\n".encode())
        return int(connection.makefile("rb").readline().split()[1])


IPV4_IN_IPV6 = ("2002:c000:207::1", "2002:c000:207:9:8:7:6:5", "::192.0.2.7", "64:ff9b::192.0.2.7")
"""6to4, IPv4-compatible and NAT64 addresses: other clients than 192.0.2.7."""


@pytest.mark.parametrize(
    ("allow", "allowed", "refused"),
    [
        (["192.0.2.7"], ["192.0.2.7", "::ffff:192.0.2.7"], ["192.0.2.8", *IPV4_IN_IPV6, "::1"]),
        (["192.0.0.0/16"], ["192.0.2.7"], [*IPV4_IN_IPV6]),
        (
            ["192.0.2.7", "2001:db8::/32", "2002:c000:208::/48"],
            ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8::7", "2002:c000:208::1"],
            ["192.0.2.8", *IPV4_IN_IPV6, "2001:db9::1"],
        ),
        (["2002:c000:207::/48"], ["2002:c000:207::1"], ["192.0.2.7", "::ffff:192.0.2.7"]),
        (["::/0"], ["2001:db8::7", "::1", *IPV4_IN_IPV6], ["192.0.2.7", "::ffff:192.0.2.7"]),
        (["::ffff:192.0.2.0/120"], ["192.0.2.7", "::ffff:192.0.2.7"], ["198.51.100.1", "::1"]),
        (["::/64"], ["::1"], ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8::7"]),
        (["0.0.0.0/0"], ["192.0.2.7", "::ffff:192.0.2.7"], ["2001:db8::7", "::1"]),
        (
            ["192.0.2.7", "::/0"],
            ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8::7", *IPV4_IN_IPV6],
            ["192.0.2.8", "::ffff:192.0.2.8"],
        ),
        (["0.0.0.0/0", "::/0"], ["192.0.2.7", "::ffff:192.0.2.8", "2001:db8::7", "::1"], []),
    ],
)
def test_a_network_has_no_client_of_the_other_ip_version(
    site: Site, app: App, allow: list[str], allowed: list[str], refused: list[str]
) -> None:
    serve(site, app, allow=allow)
    wanted = dict.fromkeys(allowed, 200) | dict.fromkeys(refused, 403)
    assert {client: status_for(site, client) for client in wanted} == wanted


def test_clients_of_ipv4_are_counted_apart_on_a_socket_of_ipv6(site: Site, app: App) -> None:
    serve(site, app, rate_limit={"requests": 2, "per": "60s"})
    for client in ("::ffff:192.0.2.7", "::ffff:192.0.2.8", "2001:db8::7", "2001:db8:0:1::7"):
        assert [status_for(site, client) for _ in range(3)] == [200, 200, 429], client
    assert status_for(site, "2001:db8::8") == 429, "the same /64"


# Maintenance and pages.


def test_maintenance_is_a_switch_and_checks_go_on(site: Site, app: App) -> None:
    serve(site, app)
    assert statuses(site, 1) == [200]
    serve(site, app, maintenance=True)
    answer = curl(site, SHOP)
    assert (answer.status, answer.header("retry-after")) == (503, "300")
    assert b"Down for maintenance" in answer.body
    assert answer.header("content-type") == "text/html; charset=utf-8"
    before = app.edge_checks
    assert poll(lambda: app.edge_checks > before + 1, 10)
    serve(site, app)
    assert statuses(site, 3) == [200] * 3, "at once"


def test_pages_stand_in_for_errors_of_the_edge_and_of_servers(
    site: Site, app: App, tmp_path: Path
) -> None:
    pages = {status: tmp_path / f"{status}.html" for status in ("502", "503", "504")}
    for status, page in pages.items():
        page.write_text(f'<p title="100% ${status}">’{status}’</p>\n')
    wanted = {status: str(page) for status, page in pages.items()}
    serve(site, app, error_pages=wanted, timeout="1s")
    for status, page in pages.items():
        answer = curl(site, f"{SHOP}/status/{status}", "--data", "x")
        assert (answer.status, answer.body) == (int(status), page.read_bytes())
    assert curl(site, f"{SHOP}/status/500").json["name"] == "app", "the application's own"
    late = curl(site, f"{SHOP}/hold")
    assert (late.status, late.body) == (504, pages["504"].read_bytes())
    app.stop()
    assert poll(lambda: curl(site, SHOP).status == 503, 10)
    assert curl(site, SHOP).body == pages["503"].read_bytes()


def test_each_answer_of_the_edge_can_have_a_page(site: Site, app: App, tmp_path: Path) -> None:
    """All but those that are tested with what they answer."""
    statuses = ("401", "413", "429", "502")
    for status in statuses:
        (tmp_path / status).write_text(f"page {status}")
    pages = {status: str(tmp_path / status) for status in statuses}
    serve(site, app, error_pages=pages, basic_auth={"alice": hashed("a")})
    answer = curl(site, SHOP)
    assert (answer.status, answer.body) == (401, b"page 401")
    assert answer.header("www-authenticate") == 'Basic realm="shop"'
    serve(site, app, error_pages=pages, rate_limit={"requests": 1, "per": "1h"})
    answers = [curl(site, SHOP) for _ in range(2)]
    assert [answers[1].status, answers[1].body] == [429, b"page 429"]
    assert answers[1].header("retry-after") == "3600"
    serve(site, app, error_pages=pages, max_body="1MiB")
    large = tmp_path / "large"
    large.write_bytes(b"x" * (2**20 + 1))
    answer = curl(site, SHOP, "--data-binary", f"@{large}")
    assert (answer.status, answer.body) == (413, b"page 413")
    answer = curl(site, f"{SHOP}/hang-up", "--data", "x")
    assert (answer.status, answer.body) == (502, b"page 502")


def test_a_page_that_changes_is_taken_up(site: Site, app: App, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    for text in ("one", "two"):
        page.write_text(text)
        serve(site, app, maintenance=True, error_pages={"503": str(page)})
        answer = curl(site, SHOP)
        assert (answer.status, answer.body.decode()) == (503, text)
        assert answer.header("retry-after") == "300"


def test_the_largest_page_and_the_longest_headers_go_together(
    site: Site, app: App, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    page.write_text("x" * MOST_BYTES)
    headers = {f"X-{number}": "y" * 490 for number in range(6)}
    serve(site, app, error_pages={"503": str(page)}, headers=headers)
    for options in ((), (H2,)):
        answer = curl(site, f"{SHOP}/status/503", *options)
        assert (answer.status, len(answer.body)) == (503, MOST_BYTES)
        assert answer.header("x-5") == "y" * 490


# Limits of requests.


def test_a_request_that_is_too_large_is_refused(site: Site, app: App, tmp_path: Path) -> None:
    serve(site, app, max_body="1MiB")
    right, large = tmp_path / "right", tmp_path / "large"
    right.write_bytes(b"x" * 2**20)
    large.write_bytes(b"x" * (2**20 + 1))
    assert curl(site, SHOP, "--data-binary", f"@{large}").status == 413
    assert http2_upload(site, "shop.example.org", 2**20 + 1) == 413
    for options in ((), (H2,)):
        answer = curl(site, SHOP, "--data-binary", f"@{right}", *options)
        assert (answer.status, answer.json["length"]) == (200, 2**20)
        assert curl(site, SHOP, *options).status == 200
        assert curl(site, SHOP, "--request", "POST", *options).status == 200, "with no body"
        untold = ("--header", "Content-Length:", "--header", "Expect:", *options)
        chunked = () if options else ("--header", "Transfer-Encoding: chunked")
        assert curl(site, SHOP, "--data-binary", "abc", *untold, *chunked).status == 200


def test_a_service_that_takes_too_long_is_given_up(site: Site, app: App) -> None:
    serve(site, app, timeout="1s")
    answer = curl(site, f"{SHOP}/hold")
    assert answer.status == 504
    assert b"504 Gateway Time-out" in answer.body


@pytest.mark.parametrize("options", [(), (H2,)], ids=["http/1.1", "http/2"])
def test_what_its_client_no_longer_waits_for_is_given_up(
    site: Site, app: App, options: tuple[str, ...]
) -> None:
    serve(site, app)
    with subprocess.Popen(curl_command(site, f"{SHOP}/wait", *options)) as client:
        assert app.held.acquire(timeout=10)
        client.kill()
    assert app.left.acquire(timeout=10)


# Compression.


KINDS = {"/image": "image/png", "/program": "Application/Wasm"}


class Texts(App):
    """Answers with what compresses well: plain, compressed already, or no text."""

    def answer(self, path: str, /, *_: object) -> tuple[int, dict[str, str], bytes]:
        kind = KINDS.get(path, "text/html; charset=utf-8")
        own = {"Content-Encoding": "br"} if path == "/own" else {}
        ranges = {"Accept-Ranges": "bytes", "ETag": '"1"'}
        return 200, {"Content-Type": kind, **ranges, **own}, b"a text " * 1000


def test_text_is_compressed_for_clients_that_take_it_and_only_once(site: Site) -> None:
    texts = Texts("texts")
    with running(texts):
        serve(site, texts, compression=True)
        taking = ("--header", "Accept-Encoding: gzip, br")
        answer = curl(site, SHOP, *taking)
        assert answer.header("content-encoding") == "gzip"
        assert len(answer.body) < 1000
        assert answer.header("etag") == 'W/"1"', "no longer the same bytes"
        assert answer.header("accept-ranges") is None, "nor the same ranges"
        assert "accept-encoding" in (answer.header("vary") or "").lower()
        assert len(curl(site, SHOP, "--compressed").body) == 7000
        for path, options in (("/", ()), ("/image", taking)):
            plain = curl(site, SHOP + path, *options)
            assert (plain.header("content-encoding"), len(plain.body)) == (None, 7000)
        assert plain.header("accept-ranges") == "bytes"
        own = curl(site, f"{SHOP}/own", *taking)
        assert (own.header("content-encoding"), len(own.body)) == ("br", 7000)


def test_what_is_compressed_is_the_services_own_choice(site: Site) -> None:
    texts = Texts("texts")
    taking = ("--header", "Accept-Encoding: gzip")
    with running(texts):
        for types, compressed in (
            (["application/wasm"], {"/program"}),
            (["application/wasm", "text/html"], {"/", "/program"}),
        ):
            serve(site, texts, compression={"types": types})
            sizes = {path: len(curl(site, SHOP + path, *taking).body) for path in ("/", *KINDS)}
            assert {path for path, size in sizes.items() if size < 1000} == compressed
        for wrong in ("text/*", "text", "TEXT/HTML", "text/html;q=1"):
            with pytest.raises(ConfigError, match=r"compression\.types\.0: must be a media type"):
                serve(site, texts, compression={"types": [wrong]})


# Aliases and headers.


@pytest.mark.parametrize("options", [(), (H2,)], ids=["http1", "http2"])
def test_an_alias_redirects_with_path_and_query(
    site: Site, app: App, options: tuple[str, ...]
) -> None:
    serve(site, app, aliases=["old.example.net", "www.shop.example.org"])
    for alias in ("old.example.net", "WWW.shop.example.org"):
        url = f"http://{alias}/a/b?c=d&e=%20f"
        target = f"http://shop.example.org:{site.port}/a/b?c=d&e=%20f"
        answer = curl(site, url, *options)
        assert (answer.status, answer.header("location")) == (301, target)
        answer = curl(site, url, "--request", "POST", *options)
        assert (answer.status, answer.header("location")) == (308, target)


def test_headers_are_set_and_taken_away_on_all_answers(site: Site, app: App) -> None:
    odd = '100% "quoted" \\ #1 $HOME %[src] é'
    headers = {"X-Frame-Options": "DENY", "X-Odd": odd, "Content-Type": False}
    serve(site, app)
    assert curl(site, SHOP).header("content-type") == "application/json"
    serve(site, app, headers=headers, basic_auth={"alice": hashed("a")})
    for options in ((), ("--user", "alice:a")):
        answer = curl(site, SHOP, *options)
        assert answer.all("x-frame-options") == ["DENY"]
        assert answer.header("x-odd") == odd
        assert answer.header("content-type") is None


# Changes of any of it.


def test_this_haproxy_accepts_everything_at_once() -> None:
    text = (golden.FOLDER / "everything" / "edge.txt").read_text()
    lists = f"userlist shop\n    user alice password {hashed('a')}\n"
    haproxy_accepts(unpack(text), "/var/lib/gatehouse/test", lists)


def test_a_change_of_what_the_edge_does_loses_no_request(
    site: Site, app: App, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    page.write_text("sorry")
    changes: list[dict[str, Any]] = [
        {"sticky": True, "compression": True},
        {"rate_limit": {"requests": 1_000_000, "per": "1h"}, "error_pages": {"503": str(page)}},
        {"allow": ["127.0.0.0/8"], "headers": {"X-A": "b" * 1000}, "aliases": ["a.example.net"]},
        {"max_body": "1MiB", "timeout": "5m", "balance": "leastconn"},
        {},
    ]
    serve(site, app)
    done = threading.Event()
    seen: Counter[str] = Counter()

    def visit(method: str, body: bytes | None) -> None:
        connection = http.client.HTTPConnection(site.address, timeout=30)
        while not done.is_set():
            try:
                connection.request(method, "/", body, {"Host": "shop.example.org"})
                answer = connection.getresponse()
                assert json.loads(answer.read())["length"] == len(body or b"")
                seen[f"{method} {answer.status}"] += 1
            except (OSError, http.client.HTTPException, ValueError, AssertionError) as error:
                seen[f"{method} {error!r}"] += 1
                connection.close()

    visitors = [
        threading.Thread(target=visit, args=each)
        for each in (("GET", None), ("GET", None), ("POST", b"x" * 5000), ("POST", b"y"))
    ]
    for each in visitors:
        each.start()
    try:
        for number in range(25):
            serve(site, app, **changes[number % len(changes)])
    finally:
        done.set()
        for each in visitors:
            each.join()
    print(f"\n25 changes: {dict(seen)}")
    assert seen.keys() == {"GET 200", "POST 200"}, seen
    assert min(seen.values()) > 200
