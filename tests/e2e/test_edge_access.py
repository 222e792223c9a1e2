"""Who may ask a service behind the edge, and how often, as a client notices it."""

import base64
import http.client
import os
import re
import socket
import time
from pathlib import Path

import pytest

from lab.loopback.site import Site
from remote.edge_agent.system import poll
from tests.support.containers import App
from tests.support.shop import H2, SHOP, hashed, serve, statuses
from tests.support.two_tiers import curl

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="the edge's HAProxy is started by root: run this as root"
)


# Rate limits.


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
