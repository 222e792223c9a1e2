"""What the edge does to HTTP, as a client notices it: the real HAProxy, with Traefik behind it."""

import http.client
import json
import os
import subprocess
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from components.config.loading import ConfigError
from lab.loopback.site import Site
from remote.edge_agent.bundle import unpack
from remote.edge_agent.system import poll
from tests.support import golden
from tests.support.containers import App
from tests.support.shop import H2, SHOP, at, hashed, serve
from tests.support.two_tiers import curl, curl_command, http2_upload, running
from tests.unit.test_fuzz import haproxy_accepts

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="the edge's HAProxy is started by root: run this as root"
)


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
