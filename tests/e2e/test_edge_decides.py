"""Which service a request is for is decided once: both real tiers, held against the config.

Generated services, with domains, wildcards, nested paths and protections, times generated spellings
of requests. ``FUZZ=full`` asks over 20,000 times.
"""

import contextlib
import os
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from http.client import HTTPConnection, HTTPException
from typing import Any

import pytest

from components.config.loading import ConfigError
from components.config.models.service import Service
from components.config.models.stack import Stack
from components.host.traefik import SERVICE_HEADER
from lab.loopback.site import HEALTH, Site
from lab.loopback.vm import vms
from tests.support import routing
from tests.support.echo import Answer, Client, Echo, Http1, Http2, serving

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="the edge's HAProxy is started by root: run this as root"
)
STACKS, REQUESTS = (26, 800) if os.environ.get("FUZZ") == "full" else (4, 400)
RATE = 2
DOMAINS = (
    *("shop.example.org", "*.example.org", "a.shop.example.org", "*.shop.example.org"),
    *("example.net", "*.example.net"),
)
PATHS = ("/", "/admin", "/admin/users", "/adm", "/pub", "/pub/secret", "/pub/secret.d/", "/~u/.x")
PROTECTIONS: Sequence[dict[str, Any]] = (
    *({}, {}, {}),
    {"basic_auth": {"alice": f"$5${'x' * 8}${'y' * 43}"}},
    {"allow": ["192.0.2.0/24"]},
    {"maintenance": True},
    {"rate_limit": {"requests": RATE, "per": "1h"}},
)
HONEST = (
    *("/img/https://cdn.example.org/a.png", "/img/https://cdn.example.org/a%20b.png"),
    *("/%7Euser", "/caf%c3%a9", "/caf%C3%A9", "/a%2Fb/c%2fd", "/a//b///c", "/100%25", "/100%2525"),
    *("/a%3Bb;c=d", "/s3/key%2B+%28x%29(y)", "/a%2Ejpg", "/...", "/.hidden", "/a..b/c.", "/a%5Cb"),
    *("/%25FF%7E", "/!$&'()*+,=:@[]", "/a%26b%3D%40%3A", "/unsafe/filters:blur(1)/http://x/y"),
    "/a?x=%7E&y=/../&z=//%zz&{|}",
)
"""Paths as browsers and libraries send them."""
PIECES = (
    *("/", "//", "/.", "/..", "/../", ";", "%2e", "%2F", "%2f..", "%", "%00", "\\", "%5c..", "~"),
    *("|", "{}", '"^`<>'),
)
"""What is put into a path."""


def generated(site: Site, choices: random.Random) -> Stack:
    """Return a config that is accepted, of two to seven services."""
    while True:
        services: dict[str, dict[str, Any]] = {}
        protections = choices.sample(PROTECTIONS, len(PROTECTIONS))
        for number in range(choices.randint(3, 7)):
            path = choices.choice(PATHS)
            services[f"s{number}"] = {
                "hosts": choices.sample(DOMAINS, choices.randint(1, 2)),
                "path": path,
                "strip_path": path != "/" and choices.random() < 0.3,
                "http": protections[number],
                "health": {"path": f"{'' if path == '/' else path.rstrip('/')}{HEALTH}"},
            }
        with contextlib.suppress(ConfigError):
            return site.stack(services)


def spelt(choices: random.Random, path: str) -> str:
    """Return a path in another spelling, which may mean the same to somebody, or no longer does."""
    for _ in range(choices.choice((0, 0, 1, 1, 2, 3))):
        at = choices.randrange(len(path) + 1)
        piece = choices.choice(PIECES)
        match choices.randrange(5):
            case 0:
                path = path[:at] + piece + path[at:]
            case 1 if at < len(path):
                path = f"{path[:at]}%{ord(path[at]):02x}{path[at + 1 :]}"
            case 2:
                path = choices.choice(("/x/..", "/.", "/", "//", "/%2e%2e", "/..;x=1")) + path
            case 3:
                path = path[:at].upper() + path[at:]
            case _:
                path += choices.choice(
                    ("/", "/x", "x", "/x%7Ey", "/..", "/%2e", "//x", ";a", "/%c3%a9")
                )
    return path if path.startswith("/") else f"/{path}"


def requests(
    choices: random.Random, stack: Stack, count: int
) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield hosts, paths and headers, near to what the services have and to each other."""
    known = list(routing.requests(stack.services))
    odd = sorted({host for host, _ in known if re.fullmatch(r"[\w.-]+(:\d+)?", host, re.ASCII)})
    paths = sorted({path for _, path in known})
    names = list(stack.services)
    for _ in range(count):
        service = stack.services[choices.choice(names)]
        label = choices.choice(("a", "shop", "A_b", "x-y"))
        host = choices.choice(service.hosts).replace("*", label)
        host = choices.choice(
            (host, host, host.upper(), f"{host}.", f"{host}:80", choices.choice(odd))
        )
        path = service.path + choices.choice(("", "/", "/x", "/x/y.png"))
        path = choices.choice(
            (path, path, choices.choice((*PATHS, *HONEST)), choices.choice(paths))
        )
        headers: dict[str, str] = {}
        if choices.random() < 0.3:
            form = choices.choice((SERVICE_HEADER, SERVICE_HEADER.replace("-", "_").lower()))
            headers[form] = choices.choice(names)
        if choices.random() < 0.1:
            headers["Connection"] = SERVICE_HEADER
        yield host, spelt(choices, path.partition("?")[0]), headers


def seen_by(service: Service, path: str) -> str:
    """Return the path that the containers of a service are to get."""
    if not service.strip_path:
        return path
    return re.sub(f"^{re.escape(service.path.rstrip('/'))}/?", "/", path)


def same(one: str, other: str) -> bool:
    """Whether two spellings of a path differ at most in what RFC 3986 calls equivalent."""
    return equivalent(one) == equivalent(other)


def equivalent(path: str) -> str:
    """Return a path as RFC 3986, 6.2.2, and Go, of what RFC 3986 does not allow, write it."""

    def written(match: re.Match[str]) -> str:
        character = chr(int(match[0][1:], 16))
        return character if re.fullmatch(r"[\w.~-]", character, re.ASCII) else match[0].upper()

    allowed = re.sub(r'["<>\\^`{|}]', lambda match: f"%{ord(match[0]):02X}", path)
    return re.sub("%[0-9A-Fa-f]{2}", written, allowed)


def judge(stack: Stack, host: str, path: str, answer: Answer) -> str:
    """Hold an answer against the config, and return what kind of answer it was."""
    meant = routing.meant(stack.services, host, path)
    where = f"{host}{path} is for {meant}, and {answer}"
    if meant.startswith("_"):
        expected = {"_nowhere": 404, "_refused": 400}[meant]
        assert (answer.status, answer.said) == (expected, None), where
        return meant
    service = stack.services[meant]
    http = service.http
    refused = 401 if http.basic_auth else 403 if http.allow else 503 if http.maintenance else 0
    if refused:
        assert (answer.status, answer.said) == (refused, None), where
        return str(refused)
    if http.rate_limit and answer.status == 429:
        assert answer.said is None, where
        return "429"
    assert answer.status == 200, where
    assert answer.said is not None, where
    assert answer.said["name"] == meant, where
    assert answer.said["headers"][SERVICE_HEADER.lower()] == meant, where
    assert same(answer.said["target"], seen_by(service, path)), where
    return "limited" if http.rate_limit else "200"


def test_the_container_that_answers_is_the_one_whose_rules_were_applied(site: Site) -> None:
    seen = Counter[str]()
    with vms(1) as (vm,):
        for seed in range(STACKS):
            choices = random.Random(seed)  # noqa: S311 - no secret
            stack = generated(site, choices)
            limited = Counter[str]()
            with serving(site, vm, stack), contextlib.ExitStack() as ends:
                made: list[Client] = [Http1(site), Http1(site, absolute=True), Http2(site)]
                for each in made:
                    ends.callback(each.close)
                for host, path, headers in requests(choices, stack, REQUESTS):
                    answer = choices.choice(made).ask(host, path, headers)
                    kind = judge(stack, host, path, answer)
                    seen[kind] += 1
                    if kind == "limited":
                        limited[routing.meant(stack.services, host, path)] += 1
            assert all(count <= RATE for count in limited.values()), limited
    print(f"\n{sum(seen.values())} requests: {dict(seen)}")
    assert seen.keys() >= {"200", "401", "403", "503", "429", "limited", "_refused", "_nowhere"}


def test_honest_paths_arrive_as_they_were_sent(site: Site) -> None:
    raw = {
        "main": {"hosts": ["shop.example.org"]},
        "img": {
            "hosts": ["shop.example.org"],
            "path": "/cut",
            "strip_path": True,
            "health": {"path": HEALTH},
        },
    }
    stack = site.stack(raw)
    with vms(1) as (vm,), serving(site, vm, stack):
        for client in (Http1(site), Http1(site, absolute=True), Http2(site)):
            with contextlib.closing(client):
                for path in HONEST:
                    for prefix in ("", "/cut"):
                        answer = client.ask("shop.example.org", f"{prefix}{path}", {})
                        assert answer.said is not None, (prefix, path, answer)
                        assert answer.said["name"] == ("img" if prefix else "main")
                        assert answer.said["target"] == path
                        prefixes = answer.said["headers"].get("x-forwarded-prefix")
                        assert prefixes == (prefix or None)
                answer = client.ask("shop.example.org", "/a?b;c=%7E;d", {})
                assert answer.said is not None
                assert answer.said["target"] == "/a?b%3Bc=%7E%3Bd", "Traefik knows `&` or this"


@pytest.mark.parametrize("hosts", [["*.example.org"], ["shop.example.org", "*.example.org"]])
def test_a_wildcard_serves_whenever_containers_join_and_leave(site: Site, hosts: list[str]) -> None:
    stack = site.stack({"wild": {"hosts": hosts}, "other": {"hosts": ["x.example.net"]}})
    with vms(1) as (vm,), serving(site, vm, stack), contextlib.closing(Http1(site)) as client:
        for number in range(12):
            another = Echo("another", "127.0.5.9")
            vm.add("other" if number % 2 else "wild", stack, another)
            for host in ("a.example.org", "shop.example.org", "A_b.example.org.", "*.example.org"):
                answer = client.ask(host, "/", {})
                assert (answer.status == 200) != host.startswith("*"), (host, answer)
            vm.remove("another")
            another.stop()
            assert client.ask("b.example.org", "/", {}).status == 200


def test_no_client_names_the_service_itself(site: Site) -> None:
    raw = {
        "main": {"hosts": ["shop.example.org"]},
        "admin": {
            "hosts": ["shop.example.org"],
            "path": "/admin",
            "http": {"allow": ["192.0.2.0/24"]},
            "health": {"path": f"/admin{HEALTH}"},
        },
    }
    stack = site.stack(raw)
    with vms(1) as (vm,), serving(site, vm, stack), contextlib.closing(Http1(site)) as client:
        for headers in ({SERVICE_HEADER: "admin"}, {"X_Gatehouse_Service": "admin"}):
            answer = client.ask("shop.example.org", "/x", headers)
            assert answer.said is not None
            assert answer.said["name"] == "main"
            named = [key for key in answer.said["headers"] if "gatehouse" in key]
            assert named == [SERVICE_HEADER.lower()]
        # To Traefik itself, a request without the edge's word is for nobody.
        straight = HTTPConnection(vm.web, timeout=30)
        with contextlib.closing(straight), contextlib.suppress(HTTPException):
            straight.request("GET", "/admin/x", headers={"Host": "shop.example.org"})
            assert straight.getresponse().status == 503
