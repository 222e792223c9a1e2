"""What is rendered for a config, held against the config: nothing in it means more than it should.

The structure of a text is compared with that of a twin, rendered from plain values: a value that
breaks out of its place makes more words, lines, keys or sections than a plain one.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.config.models.edge import Tls
from components.config.models.http import Http
from components.config.models.service import Service
from components.config.models.stack import Stack
from components.edge.backends import Backend, TcpBackend, any_backend
from components.edge.haproxy import render
from components.edge.routes import MAP
from components.edge.tls import METRICS
from components.edge.userlists import userlists
from components.host.traefik import SERVICE_HEADER
from components.placement import allowed, spread, vm_names
from components.service.labels import traefik_labels, traefik_name
from remote.edge_agent.bundle import Bundle, pack, unpack
from remote.edge_agent.certificates import Spec
from remote.edge_agent.facts import FILE, read
from remote.edge_agent.users import digest
from remote.edge_agent.versions import RUNTIME, STATUS
from remote.names import SLOT_LABEL
from tests.support import routing
from tests.support.readers import Section, haproxy_map, haproxy_sections, routed, traefik_rule
from tests.support.strategies import SECRET

STACK = "fuzz"
_WORDS = 64  # HAProxy's MAX_LINE_ARGS; it refuses a line of more


def placement(stack: Stack) -> dict[str, dict[str, int]]:
    """Return how many containers of each service each VM runs, as the program places them."""
    names = vm_names(stack.farm.name, stack.farm.vms)
    placed = {}
    for name, service in stack.services.items():
        usable = allowed(service.placement.vms, names)
        counts = spread(service.replicas, usable)
        each = [counts.get(vm, 0) for vm in usable]
        assert sum(counts.values()) == service.replicas, "every replica has a place"
        assert set(counts) <= set(service.placement.vms or names), "only where it may be"
        assert max(each) - min(each) <= 1, "evenly"
        assert max(each) <= (service.placement.max_per_vm or service.replicas)
        placed[name] = counts
    return placed


def edge_bundle(stack: Stack) -> Bundle:
    """Return what is rendered for the edge, once it is seen to have its structure and no other."""
    placed = placement(stack)
    entrypoints = {
        vm: f"10.{index >> 8}.{index & 255}.7:80"
        for index, vm in enumerate(vm_names(stack.farm.name, stack.farm.vms))
    }
    given = [
        any_backend(name, service, placed[name], entrypoints, _pages(service))
        for name, service in stack.services.items()
    ]
    backends = tuple(each for each in given if isinstance(each, Backend))
    tcp_backends = sorted(
        (each for each in given if isinstance(each, TcpBackend)), key=lambda each: each.port
    )
    edge = stack.edge
    users = userlists(stack.services)
    known_as = digest(users) if users else ""
    bundle = render(given, edge, f"{edge.folder}/{STACK}", known_as)
    assert unpack(pack(bundle)) == bundle
    facts = read(bundle.files)
    assert facts.users == (known_as or None)
    assert facts.max_connections == edge.max_connections
    _kept_beside(bundle.files, backends)
    _routes(bundle.files[MAP], stack)
    _users_read_back(users, stack)
    twins = [_twin(each, index) for index, each in enumerate(backends)]
    tcp_twins = [_tcp_twin(each, index) for index, each in enumerate(tcp_backends)]
    plain_edge = edge.model_copy(
        update={
            "bind": "192.0.2.99",
            "tls": _twin_tls(edge.tls),
            "stats": edge.stats.model_copy(update={"bind": "192.0.2.98"}),
        }
    )
    plain = render([*tcp_twins, *twins], plain_edge, "/twin/folder").config
    names = {
        "/twin/folder": f"{edge.folder}/{STACK}",
        "192.0.2.99": edge.bind,
        "192.0.2.98": edge.stats.bind,
    }
    for each, twin in zip(backends, twins, strict=True):
        names |= _names(each, twin)
    for one, its_twin in zip(tcp_backends, tcp_twins, strict=True):
        names |= {its_twin.name: one.name, its_twin.known_as: one.known_as}
    real = haproxy_sections(bundle.config)
    twin_words = _words(haproxy_sections(plain))
    assert _words(real) == [[_renamed(line, names) for line in lines] for lines in twin_words]
    redirecting = [["frontend", "http"]] if edge.tls else []
    assert [section.heading for section in real] == [
        ["global"],
        ["defaults"],
        *redirecting,
        *([["peers", "gatehouse"]] if any(each.http.rate_limit for each in backends) else []),
        ["frontend", edge.entrance[0]],
        *(["backend", each.name] for each in backends),
        *(["backend", f"_alias_{each.name}"] for each in backends if each.http.aliases),
        ["backend", "_next"],
        ["backend", "_nowhere"],
        *([["backend", "_connections"], ["backend", "_requests"]] * bool(edge.client_connections)),
        ["frontend", "_stats"],
        ["backend", "_page"],
        ["backend", "_metrics"],
        *([["defaults"]] if tcp_backends else []),
        *(
            heading
            for each in tcp_backends
            for heading in (["frontend", f"tcp.{each.name}"], ["backend", each.name])
        ),
    ]
    sections = {section.heading[1]: section for section in real if section.heading[0] == "backend"}
    for some in given:
        section = sections[some.name]
        if isinstance(some, Backend):
            _says(section, some.http)
        servers = [line for line in section.called("server") if "backup" not in line]
        assert [line[1:3] for line in servers] == [
            [vm, entrypoints[vm]] for vm in placed[some.name]
        ]
        fallback = [line[1:3] for line in section.called("server") if "backup" in line]
        assert fallback == [[f"{vm}_fallback", entrypoints[vm]] for vm in placed[some.name]]
    ports = [f"{edge.bind}:{each.port}" for each in tcp_backends]
    at = [each for each in real if each.heading[1:] and each.heading[1].startswith("tcp.")]
    assert [section.called("bind") for section in at] == [[["bind", port]] for port in ports]
    assert not [line for section in real for line in section.lines if len(line) > _WORDS]
    assert {(each.backend, each.server, each.address) for each in facts.checks} == {
        (name, vm, entrypoints[vm]) for name, vms in placed.items() for vm in vms
    }
    listens = [line[1] for section in real for line in section.called("bind")]
    assert [each.where for each in facts.listeners] == [
        each for each in listens if not each.startswith("unix@")
    ]
    assert SECRET not in pack(bundle)
    _certificates(stack, facts.certificates)
    return bundle


def _certificates(stack: Stack, spec: Spec | None) -> None:
    """Compare the edge agent's specification of certificates with the config."""
    tls = stack.edge.tls
    assert (spec is None) == (tls is None)
    if tls is None or spec is None:
        return
    assert set(spec.domains) == {
        host for each in stack.services.values() for host in (*each.hosts, *each.http.aliases)
    }
    assert len(set(spec.domains)) == len(spec.domains)
    assert spec.folder == (None if tls.folder is None else Path(tls.folder))
    assert [(str(each.fullchain), str(each.privkey)) for each in spec.certificates] == [
        (each.fullchain, each.privkey) for each in tls.certificates
    ]
    assert spec.self_signed == tls.self_signed
    assert (spec.acme is None) == (tls.acme is None)
    if spec.acme is not None and tls.acme is not None:
        assert dataclasses.asdict(spec.acme) == tls.acme.model_dump()


def _twin_tls(real: Tls | None) -> Tls | None:
    """Return the same keys with plain values; numbers end up in haproxy.cfg as they are."""
    if real is None:
        return None
    acme = real.acme and real.acme.model_copy(update={"email": "a@b", "ca": "/ca"})
    plain = {"folder": "/twin", "certificates": (), "acme": acme}
    return real.model_copy(update=plain)


def _pages(service: Service) -> dict[str, str]:
    """Return a text for each error page; its path will do, which may be anything too."""
    return dict(service.http.error_pages)


def _kept_beside(taken: Mapping[str, str], backends: Sequence[Backend]) -> None:
    files = {
        f"errors/{each.name}-{status}.html": page
        for each in backends
        for status, page in each.pages.items()
    }
    others = {FILE, MAP, METRICS, "bodies.lua"}
    maps = {name: "" for name in RUNTIME if name in taken}
    assert (STATUS in maps) == (METRICS in taken)
    kept = {name: each for name, each in taken.items() if name not in others}
    assert kept == files | maps


def _routes(text: str, stack: Stack) -> None:
    """Hold where each request goes against the config."""
    services = {name: each for name, each in stack.services.items() if each.tcp is None}
    routes = haproxy_map(text)
    assert len(routes) == sum(
        len(each.hosts) + len(each.http.aliases) for each in services.values()
    ), "and nothing else has a route"
    for host, path in routing.requests(services):
        assert routed(routes, host, path) == routing.meant(services, host, path), (host, path)


def _users_read_back(text: str, stack: Stack) -> None:
    assert [(section.heading, section.lines) for section in haproxy_sections(text)] == [
        (
            ["userlist", name],
            [["user", user, "password", known] for user, known in service.http.basic_auth.items()],
        )
        for name, service in stack.services.items()
        if service.http.basic_auth
    ]


def _says(section: Section, http: Http) -> None:
    """Hold a backend's headers and networks against the config, as words that HAProxy gets."""
    headers = [line[2:] for line in section.called("http-after-response")]
    assert headers == [
        *([name, value.replace("%", "%%")] for name, value in http.headers_set.items()),
        *([name] for name in http.headers_removed),
    ]
    for version, networks in (("ipv4", http.allow_ipv4), ("ipv6", http.allow_ipv6)):
        named = [line for line in section.called("acl") if line[1].endswith(f".allowed_{version}")]
        assert [line[-1] for line in named] == list(networks)


def _words(sections: list[Section]) -> list[list[list[str]]]:
    return [[section.heading, *section.lines] for section in sections]


def _twin(real: Backend, index: int) -> Backend:
    """Return a backend with plain values."""
    return dataclasses.replace(
        real,
        name=f"twin{index:02}",
        hosts=tuple(
            f"{'*.' if host.startswith('*.') else ''}host{number:03}.twin{index:02}.example"
            for number, host in enumerate(real.hosts)
        ),
        path=f"/below{index:02}" if real.path else "",
        check_host=f"check.twin{index:02}.example",
        check_path=f"/check/twin{index:02}",
        main_domain=real.main_domain and f"main.twin{index:02}.example",
        http=real.http.model_copy(update=_twin_http(real.http, index)),
    )


def _tcp_twin(real: TcpBackend, index: int) -> TcpBackend:
    name = f"tcptwin{index:02}"
    return dataclasses.replace(real, name=name, known_as=f"_{name}._known")


def _twin_http(real: Http, index: int) -> dict[str, Any]:
    return {
        "allow": tuple(
            f"2001:db8:{index}::{number}/128"
            if ":" in network
            else f"203.0.113.{16 * index + number}/32"
            for number, network in enumerate(real.allow)
        ),
        "aliases": tuple(f"a{number}.alias{index}.twin" for number in range(len(real.aliases))),
        "headers": {
            f"X-Twin-{index}-{number}": value and f"value-{index}-{number}"
            for number, value in enumerate(real.headers.values())
        },
    }


def _names(real: Backend, twin: Backend) -> Iterator[tuple[str, str]]:
    """Yield each value of the twin with the real one in its place."""
    yield twin.name, real.name
    yield from ((twin.check_host, real.check_host), (twin.check_path, real.check_path))
    yield twin.path, real.path
    yield f"^{twin.path}/?", f"^{real.path.replace('.', '[.]')}/?"
    if real.main_domain is not None and twin.main_domain is not None:
        yield twin.main_domain, real.main_domain
    yield from zip(twin.http.allow, real.http.allow, strict=True)
    yield from zip(twin.http.headers, real.http.headers, strict=True)
    for plain, value in zip(twin.http.headers.values(), real.http.headers.values(), strict=True):
        if plain and value:
            yield plain, value.replace("%", "%%")


def _renamed(words: list[str], names: Mapping[str, str]) -> list[str]:
    longest_first = sorted(filter(None, names), key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, longest_first)))
    return [pattern.sub(lambda match: names[match[0]], word) for word in words]


def labels(stack: Stack) -> dict[str, dict[str, str]]:
    """Return the labels of each service's containers, once they are seen to say what is meant."""
    found = {}
    for name, service in stack.services.items():
        ours = {SLOT_LABEL: f"{name}-{stack.farm.name}-0-0", **traefik_labels(name, service)}
        assert not ours.keys() & {key.lower() for key in service.labels}, "the user's never win"
        found[name] = {**service.labels, **ours}
        pairs = [f"{key}={value}".partition("=") for key, value in found[name].items()]
        assert {key: value for key, _, value in pairs} == found[name]
        assert SECRET not in str(found[name])
        (_rules if service.tcp is None else _tcp_rules)(traefik_name(name, service), service, ours)
    return found


def _tcp_rules(name: str, service: Service, ours: Mapping[str, str]) -> None:
    rules = {key: value for key, value in ours.items() if key.endswith(".rule")}
    own = name.rpartition("-")[0]
    assert rules == {
        f"traefik.tcp.routers.{name}.rule": f"HostSNI(`_{own}._tcp`)",
        f"traefik.http.routers.{name}_check.rule": f"Host(`_{own}._tcp`)",
    }
    assert ours[f"traefik.tcp.services.{name}.loadbalancer.server.port"] == str(service.port)


def _rules(name: str, service: Service, ours: Mapping[str, str]) -> None:
    path = "" if service.strip_path else service.path.rstrip("/")
    domains = {host for host in service.hosts if not host.startswith("*.")}
    wildcards = {host.removeprefix("*") for host in service.hosts} - domains
    expected = f"traefik.http.routers.{name}.rule"
    check = f"traefik.http.routers.{name}_check.rule"
    assert {key for key in ours if key.endswith(".rule")} == {expected, check}
    assert ours[check] == f"Host(`_{name.rpartition('-')[0]}._http`)"
    rule = traefik_rule(ours[expected])
    paths = [("Path", path), ("PathPrefix", f"{path}/")] if path else []
    assert [each for each in rule.matchers if each[0].startswith("Path")] == paths
    chosen = [value for matcher, value in rule.matchers if matcher == "Header"]
    assert chosen == [f"{SERVICE_HEADER} {name.rpartition('-')[0]}"]
    assert {value for matcher, value in rule.matchers if matcher == "Host"} == domains
    named = [each for each in rule.matchers if each[0].startswith("Host")]
    assert len(named) == len(domains) + len(wildcards)
    for full in (*domains, *(f"a-0{each}" for each in wildcards)):
        assert rule.matches(full, path or "/")
        assert rule.matches(full, f"{path}/x")
        assert rule.matches(full, f"{path}x") == (path == "")
        assert not rule.matches(f"{full}.evil", f"{path}/")
        if full.replace(".", "x") not in domains:
            assert not rule.matches(full.replace(".", "x"), f"{path}/")
