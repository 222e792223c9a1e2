"""What looks odd and could be read in two ways is refused: hosts, long targets, preflights.

Through both real tiers.
"""

import contextlib
import itertools
import os
import random
import socket
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import h2.connection
import h2.events
import pytest

from lab.loopback.site import HEALTH, Site, a_site
from lab.loopback.vm import vms
from tests.support.echo import Http1, Http2, serving

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="the edge's HAProxy is started by root: run this as root"
)
COUNT = 4000 if os.environ.get("FUZZ") == "full" else 300
SHOP, OLD = "shop.example.org", "old.example.org"
PASSWORD = {"basic_auth": {"alice": f"$5${'x' * 8}${'y' * 43}"}}
SERVICES: dict[str, Any] = {
    "main": {"hosts": [SHOP], "http": {"aliases": [OLD]}},
    "cut": {"hosts": [SHOP], "path": "/cut", "strip_path": True, "health": {"path": HEALTH}},
    "members": {"hosts": ["members.example.org"], "http": PASSWORD},
}


@dataclass(frozen=True)
class Plain:
    """Sends bytes as they are, and reads no more than the status."""

    site: Site

    def ask(self, request: bytes) -> int:
        """Return the status; 0 if there is none."""
        with socket.create_connection(("127.0.0.1", self.site.port), timeout=30) as connection:
            with contextlib.suppress(OSError):
                connection.sendall(request)
            read = b""
            with contextlib.suppress(ConnectionError):
                while b"\r\n" not in read and (part := connection.recv(65_536)):
                    read += part
        return int(read.split()[1]) if read else 0


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with a_site() as made, vms(1) as (vm,):
        stack = made.stack(SERVICES)
        with serving(made, vm, stack):
            yield made


# Hosts.

RIGHT = (
    *(SHOP, SHOP.upper(), f"{SHOP}.", f"{SHOP}:80", f"{SHOP}:1", f"{SHOP}:65535", f"{SHOP}.:8443"),
)
WRONG = (
    *(f"{SHOP}:{port}" for port in ("evil", "0", "99999", "65536", "+80", "-1", "8 0", "80a")),
    *(f"{SHOP}:{port}" for port in ("1:2", ":2", "1:", "0x50", "080", "\u0661", "80,", "81/x")),
    *(f"alice@{SHOP}", f"alice:pw@{SHOP}", f"{SHOP}@evil.example.net", f"{SHOP}..", f".{SHOP}"),
    *("shop..example.org", "shop .example.org", f"{SHOP} x", f"{SHOP},{SHOP}", f"{SHOP};x"),
    *(f"{SHOP}/", f"{SHOP}/cut", f"{SHOP}?x", f"{SHOP}\\x", f"{SHOP}%2e", f"{SHOP}\t.x", "", "."),
    *("[::1]", "[::1]:80", f"[{SHOP}]", f"{SHOP}'", f'"{SHOP}"', "sh\u00f6p.example.org", "*"),
    *(f"{'x' * 64}.example.org", ".".join(["x" * 60] * 5), "x" * 60_000, f"{SHOP}:{'8' * 60_000}"),
)
DIFFERENT = tuple(host for host in WRONG if host and not set(host) & set("/?"))
"""Those that in a target in absolute form would still be the host alone."""


def is_mended(host: str) -> bool:
    """Whether HAProxy makes it right in absolute form, and shows nobody what it was.

    It removes a port that is empty or the scheme's.
    """
    return host.endswith(":") and host.count(":") == 2


@pytest.mark.parametrize("host", RIGHT)
def test_a_host_is_a_name_and_perhaps_a_port(site: Site, host: str) -> None:
    for client in (Http1(site), Http1(site, absolute=True), Http2(site)):
        with contextlib.closing(client):
            answer = client.ask(host, "/", {})
            assert answer.said is not None, (client, answer)
            assert answer.said["name"] == "main"


def test_a_host_that_is_anything_else_is_refused(site: Site) -> None:
    client = Plain(site)
    for host in WRONG:
        head = f"Host: {host}\r\n\r\n".encode()
        assert client.ask(b"GET / HTTP/1.1\r\n" + head) == 400, host
        if host in DIFFERENT and not is_mended(host):
            for other in (head, f"Host: {SHOP}\r\n\r\n".encode()):
                whole = f"GET http://{host}/ HTTP/1.1\r\n".encode() + other
                assert client.ask(whole) == 400, whole
    for request in (b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"):
        assert client.ask(request) == 400


def test_an_authority_of_http2_that_is_anything_else_is_refused(site: Site) -> None:
    for host in WRONG:
        if len(host) < 60_000 and not is_mended(host):
            with contextlib.closing(Http2(site)) as client:
                assert client.ask(host, "/", {}).status == 400, host


# Targets.

UNITS = (
    *(
        "a",
        "%7E",
        "%c3",
        "%C3",
        "%41",
        "%25",
        "%25%FF",
        "%2F",
        "~",
        "|",
        "{}",
        '"',
        "^`",
        "\\",
        "<>",
    ),
    *("a%7Ebcdefghijklmnopqrstuvwxyz", "//%7E", "//|", "a;b/", "%3B", "|%7E", "!$&'()*+,=:@[]"),
)
BUFFER, LIMIT = 81_920, 81_920 - 8192
"""Bytes of HAProxy's buffer, and of what may come in it."""
GROWN = [len("%25%FF7C"), len("%25%FF7E") / 3, len("%25%FF41"), 3, 1]
"""What a byte may become, at most."""


def long_targets(choices: random.Random, count: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield targets and headers that, as sent or as the edge spells them, fill its buffer."""
    for number in range(count):
        unit = UNITS[number % len(UNITS)]
        other = choices.choice(("", "", choices.choice(UNITS)))
        size = int(choices.choice((BUFFER, LIMIT)) / choices.choice(GROWN))
        size += choices.randint(-1500, 200)
        in_headers = choices.choice((0, 0, choices.randint(0, size)))
        in_query = choices.choice((0, 0, choices.randint(0, size - in_headers)))
        left = size - in_headers - in_query
        path = choices.choice(("/", "/cut/")) + other * 9
        path += unit * max(1, (left - len(path)) // len(unit))
        target = path + (f"?{'q' * in_query}" if in_query else "")
        lines = choices.choice((1, 1, 20, 400)) if in_headers > 20_000 else 1
        each = max(1, in_headers // lines - len("X-Long-000: \r\n"))
        long = "".join(f"X-Long-{line:03}: {'h' * each}\r\n" for line in range(lines))
        yield target.encode(), long.encode() if in_headers else b""


def test_a_target_of_any_length_is_served_or_refused_and_never_an_error(site: Site) -> None:
    choices = random.Random(1)  # noqa: S311 - no secret
    client = Plain(site)
    seen = Counter[int]()
    for target, long in long_targets(choices, COUNT):
        for host, served in ((SHOP, {200}), (OLD, {301})):
            head = b"GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (target, host.encode(), long)
            status = client.ask(head)
            where = f"{target[:60]!r}… of {len(target)}, headers {len(long)}: {status} of {host}"
            assert status in {*served, 400, 414}, where
            if len(target) + len(long) < 8000:
                assert status in served, where
            seen[status] += 1
    print(f"\n{dict(seen)}")
    assert seen.keys() == {200, 301, 400, 414}


def test_a_long_target_of_http2_too(site: Site) -> None:
    # HPACK makes more than twice as much of the odd ones.
    for unit, size in zip(UNITS, itertools.cycle((20_000, 27_000, 30_000)), strict=False):
        with contextlib.closing(Http2(site)) as client:
            status = client.ask(SHOP, f"/{unit * (size // len(unit))}", {}).status
            assert status in {200, 400, 414}, (unit, size, status)


def test_a_path_that_is_not_ascii_is_refused_in_both_versions(site: Site) -> None:
    for path in ("/\u00e9", "/\u00e9%41", "/\u00e9%7E//x", "/cut/\u65e5", "/a|\u00e9", "/a\x7f"):
        request = f"GET {path} HTTP/1.1\r\nHost: {SHOP}\r\nConnection: close\r\n\r\n"
        assert Plain(site).ask(request.encode()) == 400, path
        with contextlib.closing(Http2(site)) as client:
            assert client.ask(SHOP, path, {}).status == 400, path


# Preflights.

MEMBERS = "members.example.org"
PREFLIGHT = {
    "Host": MEMBERS,
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "*/*",
    "Accept-Language": "en-US,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Access-Control-Request-Method": "PUT",
    "Access-Control-Request-Headers": "authorization,content-type,x-http-method-override",
    "Referer": "https://app.example.net/",
    "Origin": "https://app.example.net",
    "Connection": "keep-alive",
    "Sec-Fetch-Dest": "empty",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Site": "cross-site",
    "Priority": "u=4",
    "Pragma": "no-cache",
    "Cache-Control": "no-cache",
}
"""As Firefox sends it; Chromium has no more, but for the next ones."""
AS_WELL = {"Access-Control-Request-Private-Network": "true", "DNT": "1", "Content-Length": "0"}
OVERRIDES = ("HTTP-Method-Override", "Method-Override", "HTTP-Method", "Method", "Verb", "Action")
PARAMETERS = (
    *("_method", "_METHOD", "__method", "%5fmethod", "_m%65thod", "%20_method", "_method%20"),
    *("method", "$method", "httpMethod", "_HttpMethod", "$httpMethod", "x-http-method-override"),
    *(
        "X-HTTP-Method",
        "x_method_override",
        "methodOverride",
        "_method%5b%5d",
        "_method[]",
        "+_method",
    ),
)


def spelt(name: str) -> Iterator[str]:
    """Yield spellings of a header's name that applications take for the same."""
    for each in (name, name.replace("-", "_"), name.replace("-", "")):
        yield from (each, each.upper(), each.lower())


def preflight(
    target: str = "/a?b=c", more: Mapping[str, str] | None = None, body: bytes = b""
) -> bytes:
    """Return a preflight of CORS with more in it than there should be."""
    lines = (f"{name}: {value}\r\n" for name, value in {**PREFLIGHT, **(more or {})}.items())
    return f"OPTIONS {target} HTTP/1.1\r\n{''.join(lines)}\r\n".encode() + body


def test_a_preflight_as_browsers_send_it_needs_no_password(site: Site) -> None:
    client = Plain(site)
    assert client.ask(preflight()) == 200
    for name, value in AS_WELL.items():
        assert client.ask(preflight(more={name: value})) == 200, name
    for query in ("q=method", "shipping_method=x", "methods=1", "a=_method=b", "methodical"):
        assert client.ask(preflight(f"/a?{query}")) == 200, query
    assert client.ask(preflight("/_method/x?")) == 200


def test_what_could_be_taken_for_another_method_needs_the_password(site: Site) -> None:
    client = Plain(site)
    for name in OVERRIDES:
        for each in itertools.chain.from_iterable(map(spelt, (name, f"X-{name}"))):
            assert client.ask(preflight(more={each: "DELETE"})) == 401, each
    for name in PARAMETERS:
        for query in (
            f"{name}=DELETE",
            f"a=b&{name}=DELETE",
            f"a;{name}=DELETE&c",
            f"?{name}",
            name,
        ):
            assert client.ask(preflight(f"/a?{query}")) == 401, query
            for broken in ("%", "%z", "%4", "%zz", "%u005f", "100%"):
                for spoilt in (f"{query}&x={broken}", f"{broken}&{query}", f"{query};{broken}"):
                    assert client.ask(preflight(f"/a?{spoilt}")) == 401, spoilt
    for more in (
        *(
            {"Content-Type": "text/plain"},
            {"Cookie": "a=b"},
            {"X-Any": "b"},
            {"Expect": "100-continue"},
        ),
        {"Upgrade": "x", "Connection": "upgrade"},
    ):
        assert client.ask(preflight(more=more)) == 401, more
    for body in (
        preflight(more={"Content-Length": "9"}, body=b"_method=x"),
        preflight(more={"Content-Length": "9000000000"}, body=b"_method=x"),
        preflight(more={"Transfer-Encoding": "chunked"}, body=b"1\r\nx\r\n0\r\n\r\n"),
        preflight(more={"Transfer-Encoding": "chunked"}, body=b"0\r\n\r\n"),
    ):
        assert client.ask(body) == 401, body
    for name in ("Origin", "Access-Control-Request-Method"):
        twice = preflight().replace(b"\r\n\r\n", f"\r\n{name}: x\r\n\r\n".encode())
        assert client.ask(twice) == 401


@pytest.mark.parametrize("length", [(), (("content-length", "3"),)], ids=["unknown", "known"])
def test_nor_has_a_preflight_of_http2_a_body(
    site: Site, length: tuple[tuple[str, str], ...]
) -> None:
    assert asked_over_http2(site, (), b"", late=False) == b"200"
    assert asked_over_http2(site, length, b"abc", late=False) == b"401"
    assert asked_over_http2(site, length, b"abc", late=True) in {b"401", b"408"}


def asked_over_http2(
    site: Site, more: tuple[tuple[str, str], ...], body: bytes, *, late: bool
) -> bytes:
    """Return the status of a preflight; a late body is sent when HAProxy has the headers."""
    known = [(":method", "OPTIONS"), (":path", "/"), (":scheme", "http"), (":authority", MEMBERS)]
    asked = [("origin", "https://x.example.net"), ("access-control-request-method", "PUT")]
    protocol = h2.connection.H2Connection()
    protocol.initiate_connection()
    protocol.send_headers(1, [*known, *asked, *more], end_stream=not body)
    with socket.create_connection(("127.0.0.1", site.port), timeout=30) as connection:

        def events() -> Iterator[h2.events.Event]:
            while True:
                connection.sendall(protocol.data_to_send())
                yield from protocol.receive_data(connection.recv(65_536))

        arriving = events()
        if late:
            protocol.ping(bytes(8))
            next(each for each in arriving if isinstance(each, h2.events.PingAckReceived))
        if body:
            protocol.send_data(1, body, end_stream=True)
        answer = next(each for each in arriving if isinstance(each, h2.events.ResponseReceived))
        status: bytes = dict(answer.headers)[b":status"]
        return status
