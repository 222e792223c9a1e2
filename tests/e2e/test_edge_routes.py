"""Which service gets a request: the real HAProxy and its map, held against the config."""

import contextlib
import http.client
import os
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from components.config.models.stack import Stack
from lab.loopback.site import Site, a_site
from tests.support import routing
from tests.support.containers import App
from tests.support.two_tiers import curl, running

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="the edge's HAProxy is started by root: run this as root"
)

SERVICES: dict[str, dict[str, Any]] = {
    "main": {"hosts": ["shop.example.org"]},
    "api": {"hosts": ["shop.example.org"], "path": "/api"},
    "apis": {"hosts": ["*.example.com", "*.example.net"], "path": "/api/v1"},
    "deep": {"hosts": ["shop.example.org"], "path": "/api/v1/users/"},
    "other": {"hosts": ["shop.example.org"], "path": "/ap"},
    "wild": {"hosts": ["*.example.org", "*.example.com"]},
    "below": {"hosts": ["*.shop.example.org", "a.shop.example.org"], "path": "/~x/.y"},
    "part": {"hosts": ["part.example.org", "part.example.net"], "path": "/part"},
    "top": {"hosts": ["*.net", "org"]},
    "old": {
        "hosts": ["new.example.org"],
        "path": "/api",
        "http": {"aliases": ["old.example.org", "example.net", "a.b.example.net"]},
    },
}


@pytest.fixture
def site() -> Iterator[Site]:
    with a_site() as made:
        yield made


def serving(site: Site, app: App, services: dict[str, dict[str, Any]]) -> Stack:
    """Have one server serve all services, each of which tells its name in a header."""
    raw = {
        name: {
            **each,
            "health": {},
            "http": {**each.get("http", {}), "headers": {"X-Service": name}},
        }
        for name, each in services.items()
    }
    stack = site.stack(raw)
    site.apply(stack, {name: {"web-0": f"{app.address}:{app.port}"} for name in services})
    return stack


class Client:
    """A kept connection that sends each request exactly as given."""

    def __init__(self, site: Site) -> None:
        self._connection = http.client.HTTPConnection(site.address, timeout=10)

    def ask(self, host: str, target: str, method: str = "GET") -> tuple[int, str | None]:
        """Return the status, and the service that answers or where it redirects to."""
        self._connection.putrequest(method, target, skip_host=True)
        self._connection.putheader("Host", host.encode())
        self._connection.endheaders()
        answer = self._connection.getresponse()
        answer.read()
        return answer.status, answer.getheader("X-Service", answer.getheader("Location"))

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def client(site: Site) -> Iterator[Client]:
    with contextlib.closing(Client(site)) as made:
        yield made


def test_each_request_goes_where_the_config_says_whatever_its_host_and_path_look_like(
    site: Site, client: Client
) -> None:
    app = App("app")
    with running(app):
        stack = serving(site, app, SERVICES)
        seen = Counter[str]()
        for host, path in routing.requests(stack.services):
            meant = routing.meant(stack.services, host, path)
            seen[meant] += 1
            told = client.ask(host, f"{path}?/api/v1/users/")
            if told == (400, None) and meant != routing.REFUSED:
                # By itself, HAProxy 3.0 refuses more than 2.6 does.
                assert not re.fullmatch(r"[\w.*-]+(:[0-9]+)?", host, re.ASCII), host
            elif meant == routing.REFUSED:
                assert told == (400, None), (host, path)
            elif meant == "_nowhere":
                assert told == (404, None), (host, path)
            elif meant == "_alias_old":
                inside = path if path == "/api" or path.startswith("/api/") else f"/api{path}"
                target = f"http://new.example.org:{site.port}{inside}?/api/v1/users/"
                assert told == (301, target), (host, path)
            else:
                assert told == (200, meant), (host, path)
    print(f"\n{dict(seen)}")
    assert seen.keys() == {*SERVICES, "_alias_old", "_nowhere", routing.REFUSED}


def test_other_forms_of_a_request_are_routed_by_domain_and_path_too(
    site: Site, client: Client
) -> None:
    app = App("app")
    with running(app):
        serving(site, app, SERVICES)
        # It has no path.
        assert client.ask("shop.example.org", "*", "OPTIONS") == (200, "main")
        assert client.ask("part.example.org", "*", "OPTIONS") == (200, "wild")
        whole = "http://shop.example.org/api/x"
        assert client.ask("shop.example.org", whole) == (200, "api")
        # The application might take it for another service's.
        assert client.ask("shop.example.org", "/%61pi/") == (400, None)
        assert client.ask("shop.example.org", f"/api/{'x' * 8000}") == (200, "api")
        for host, path, service in (
            *(("shop.example.org", "/api/v1/users?x", "deep"), ("a.example.org", "/", "wild")),
            *(("a.example.com", "/api/v1", "apis"), ("A.example.ORG:8080", "/apix", "wild")),
            ("*.example.org", "/", None),
        ):
            options = ("--http2-prior-knowledge", "--header", f"Host: {host}")
            answer = curl(site, f"http://h2.invalid{path}", *options)
            assert answer.header("x-service") == service, (host, path)
            assert answer.status == (200 if service else 404) or (not service)


def test_a_domain_that_moves_is_followed_by_connections_to_an_older_worker(
    site: Site, client: Client
) -> None:
    app = App("app")
    hosts = ["one.example.org", "two.example.org"]
    with running(app):
        for moving in ("a", "b", "a"):
            services = {
                name: {"hosts": [f"{name}.example.org", *(hosts if name == moving else [])]}
                for name in ("a", "b")
            }
            serving(site, app, services)
            assert [client.ask(host, "/") for host in hosts] == [(200, moving)] * 2
        serving(site, app, {"a": {"hosts": ["a.example.org"]}})
        assert client.ask("one.example.org", "/") == (404, None)
