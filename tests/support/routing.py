"""Which service a request is for by what the config says, and requests that could go astray."""

import itertools
import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from components.config.models.service import Service

REFUSED = "_refused"
"""The edge answers with a 400, whatever the service."""


def meant(services: Mapping[str, Service], host: str, path: str) -> str:
    """Return the backend by the config's own words, one service after the other.

    Args:
        services: By name.
        host: The value of the header.
        path: Without a query; empty if a request has none.
    """
    if not is_host(host) or re.search("%(?![0-9A-Fa-f]{2})|%00", path):
        return REFUSED
    decoded = unquote(path, encoding="latin-1")
    if any(part.partition(";")[0] in (".", "..") for part in decoded.split("/")):
        return REFUSED
    as_sent = _meant(services, host, path)
    as_read = _meant(services, host, re.sub("//+", "/", re.sub(";[^/]*", "", decoded)))
    return as_sent if as_read in (as_sent, "_nowhere") else REFUSED


def is_host(text: str) -> bool:
    """Whether a header ``Host`` is a name and perhaps a port."""
    name, colon, port = text.partition(":")
    labels = name.removesuffix(".").split(".")
    return bool(
        len(name.removesuffix(".")) <= 253
        and all(re.fullmatch("[a-z0-9_-]{1,63}", each, re.IGNORECASE | re.ASCII) for each in labels)
        and (not colon or (re.fullmatch("[1-9][0-9]{0,4}", port) and int(port) < 65_536))
    )


def _meant(services: Mapping[str, Service], host: str, path: str) -> str:
    domain = host.partition(":")[0].lower().removesuffix(".")
    aliased = [name for name, each in services.items() if domain in each.http.aliases]
    exact = [
        name
        for name, each in services.items()
        if domain in each.hosts and not domain.startswith("*")
    ]
    label = r"[a-z0-9_-]+"
    wild = [
        name
        for name, each in services.items()
        for pattern in each.hosts
        if pattern.startswith("*.") and re.fullmatch(label + re.escape(pattern[1:]), domain)
    ]
    for named in (exact, wild):
        below = [name for name in named if _is_below(path, services[name].path.rstrip("/"))]
        if below and not aliased:
            return max(below, key=lambda name: len(services[name].path.rstrip("/")))
    return f"_alias_{aliased[0]}" if aliased else "_nowhere"


def _is_below(path: str, prefix: str) -> bool:
    return prefix == "" or path == prefix or path.startswith(f"{prefix}/")


def requests(services: Mapping[str, Service]) -> Iterator[tuple[str, str]]:
    """Yield hosts and paths: of each service, next to it, and with the key of another one."""
    hosts = dict.fromkeys(
        host for each in services.values() for host in (*each.hosts, *each.http.aliases)
    )
    prefixes = dict.fromkeys(each.path.rstrip("/") for each in services.values())
    near = dict.fromkeys(path for prefix in prefixes for path in _near(prefix))
    for host in hosts:
        for given in _spelt(host):
            yield from ((given, path) for path in near)
    for host, prefix in itertools.product(hosts, filter(None, prefixes)):
        # As in a key of the map, before the path of the request.
        yield from ((f"{host}{prefix}", "/"), (f"{host}{prefix}/", "/"), (f"{host}/", prefix))
        yield f"{host}:80{prefix}", "/"
    for host in ("", ".", "/", "*", ":", "[::1]", "127.0.0.1", "gatehouse-test.invalid"):
        yield host, "/"


def _near(prefix: str) -> tuple[str, ...]:
    below = (prefix or "/", f"{prefix}/", f"{prefix}/x", f"{prefix}//", f"{prefix}/./x")
    beside = (
        *(f"{prefix}x", f"{prefix}.", f"/x{prefix}", f"/{prefix}/", prefix.upper()),
        *(f"/{prefix}", f"/x/..{prefix}/x", f"{prefix}/%2e%2E/x", f"{prefix}/..;a/x"),
        *(
            f"{prefix}%2fx",
            f"{prefix}/a%7E//b",
            f"{prefix};x",
            f"{prefix};x/y",
            f"{prefix}/%",
            f"{prefix}/%0g",
            f"{prefix}/x%00",
        ),
        *(f"{prefix[:at]}%{ord(each):02x}{prefix[at + 1 :]}" for at, each in enumerate(prefix)),
    )
    return (*below, *(each for each in beside if each.startswith("/")), prefix[:-1] or "/")


def _spelt(host: str) -> tuple[str, ...]:
    if host.startswith("*."):
        rest = host[2:]
        more = (f"a-0.{rest}", f"A.{rest}:8080", f"a.b.{rest}", f"-.{rest}", f"a_b.{rest}", rest)
        return (host, f".{rest}", f"a..{rest}", f"a/.{rest}", f"é.{rest}", *more)
    shorter = host.partition(".")[2]
    return (
        *(host, host.upper(), f"{host}:8080", f"{host}.", f"{host}x", f"x{host}", f"x.{host}"),
        *(f"*.{host}", f"*{host[1:]}", f".{host}", f"{host},{host}", host.replace(".", "x")),
        *((shorter, f"*.{shorter}", f"other.{shorter}") if shorter else ()),
    )
