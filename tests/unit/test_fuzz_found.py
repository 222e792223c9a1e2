"""What generated configs have found, one by one."""

from typing import Any

import pytest

from components.config import checks, loading
from components.config.loading import ConfigError, parse
from components.config.models.edge import Edge
from components.edge.backends import backend
from components.edge.haproxy import render
from tests.support.readers import haproxy_sections
from tests.support.strategies import SECRET

APP = {"image": "app:1", "hosts": ["a.example.org"], "port": 80}
BASE: dict[str, Any] = {"farm": {"vms": 1, "image": "/a.qcow2"}, "services": {"app": APP}}
FARM = BASE["farm"]
NOT_SHOWN = "(value hidden: it may be secret)"


def app(**changes: Any) -> dict[str, Any]:
    return {"services": {"app": {**APP, **changes}}}


REFUSED: dict[str, tuple[dict[Any, Any], str]] = {
    "an IPv6 zone may be any text to Python, HAProxy's own lines too": (
        {"edge": {"bind": "fe80::1%x\n    stats socket /tmp/evil"}},
        'edge.bind: must be an IP address (got "fe80::1%x\\n    stats socket /tmp/evil")',
    ),
    "a zone in an address to log in to": (
        {"edge": {"host": "fe80::1%$(reboot)", "host_key": "ssh-ed25519 " + "A" * 20}},
        "edge.host: must be an IP address or a domain in lower case (got fe80::1%$(reboot))",
    ),
    "a key like pydantic's own mark for keys": (
        {"[key]": 1},
        '"[key]": unknown key; known here are farm, services, edge, registries (got 1)',
    ),
    "that key, with a value like a place in a list": (
        app(volumes=[{"[key]": 0}]),
        'services.app.volumes.0."[key]": unknown key; known here are path, name, host, read_only,'
        " shared, expendable (got 0)",
    ),
    "a key of several lines": (
        {"edge": {"port\nfarm: all is well (got 1)": 80}},
        'edge."port\\nfarm: all is well (got 1)": unknown key; known here are bind, port, ',
    ),
    "a key that is no text": (
        {"services": {True: APP}},
        "services.true: must be text; put it in quotes (got true)",
    ),
    "a key that is no text where keys are known": (
        {None: 1},
        "null: must have a key that is text; put it in quotes (got null)",
    ),
    "brackets so deep that a YAML parser gives up": (
        {"farm": {**FARM, "memory": "[" * 1500}},
        f"farm.memory: must be a size such as 512MiB, 2GiB or 1TiB (got {'[' * 77}...)",
    ),
    "a time that has no place in Python's calendar": (
        {"farm": {**FARM, "memory": "0001-01-01 00:00:00 +23:59"}},
        "farm.memory: must be a size such as 512MiB, 2GiB or 1TiB"
        ' (got "0001-01-01 00:00:00 +23:59")',
    ),
    "a tag that the YAML library stumbles over": (
        {"farm": {**FARM, "memory": "!!timestamp x"}},
        'farm.memory: must be a size such as 512MiB, 2GiB or 1TiB (got "!!timestamp x")',
    ),
    "a number too long to be written": (
        {"farm": {**FARM, "vms": 1 << 20_000}},
        "farm.vms: must be at most 1000 (got a number of thousands of digits)",
    ),
    "long text with line ends": (
        {"farm": {**FARM, "image": "\n" * 3000}},
        'farm.image: must have at most 1000 characters (got "' + "\\n" * 38 + "...)",
    ),
    "half of a surrogate pair": (
        app(env={"A": "\ud800"}),
        'services.app.env.A: must be text; remove the lone surrogate U+D800 (got "\\ud800")',
    ),
    "a control character of the second set": (
        app(env={"A": "\x9b31m"}),
        'services.app.env.A: must be text; remove the control character U+009B (got "\\u009b31m")',
    ),
    "a domain that DNS has no room for": (
        app(hosts=["a." * 150 + "a"]),
        f"services.app.hosts.0: must have at most 253 characters (got {('a.' * 39)[:77]}...)",
    ),
    "a path as long as a priority of Traefik's": (
        app(path="/a" * 700),
        f"services.app.path: must have at most 1024 characters (got {('/a' * 39)[:77]}...)",
    ),
    "a token in the place of a login": (
        {"registries": {"ghcr.io": SECRET}},
        f"registries.ghcr.io: must be a map of keys {NOT_SHOWN}",
    ),
    "a token where a registry should be": (
        {"registries": {"username": SECRET}},
        "registries.username: must be a map of keys; if username is a key of one of the registries,"
        f" indent it below its name {NOT_SHOWN}",
    ),
    "a token under another key": (
        {"registries": {"ghcr.io": {"username": "a", "token": SECRET}}},
        f"registries.ghcr.io.token: unknown key; Gatehouse calls it password {NOT_SHOWN}",
    ),
    "a hash in the place of all that it is for": (
        app(http=f"$6${SECRET}${'a' * 86}"),
        f"services.app.http: must be a map of keys, such as {{max_body: 10MiB}} {NOT_SHOWN}",
    ),
    "a hash in the place of a user, and the user in its place": (
        app(http={"basic_auth": {f"$6${SECRET}${'a' * 86}": "alice"}}),
        'services.app.http.basic_auth."a hash": must be a user\'s name of letters, digits and any'
        f" of . _ @ -, at most 64 {NOT_SHOWN}",
    ),
    "a service called like a key": (
        {"services": {"health": {**APP, "replica": 2}}},
        "services.health.replica: unknown key; did you mean replicas? (got 2)",
    ),
}


@pytest.mark.parametrize("found", REFUSED)
def test_it_is_refused_by_its_path(found: str) -> None:
    changes, message = REFUSED[found]
    with pytest.raises(ConfigError) as error:
        parse({**BASE, **changes})
    assert any(problem.startswith(message) for problem in error.value.problems), error.value


def test_a_folder_that_is_too_long_for_haproxys_sockets() -> None:
    stack = parse({**BASE, "edge": {"folder": "/srv" * 20}})
    assert list(checks.in_stack(stack, "prod")) == []
    (problem,) = checks.in_stack(stack, "production")
    assert problem.startswith("edge.folder: with the stack's name it has 91 characters, and ")


def test_a_value_of_the_config_that_is_no_json_is_text() -> None:
    assert loading._value("[" * 100_000) == "[" * 100_000


def test_more_domains_than_haproxy_reads_words_of_a_line() -> None:
    hosts = [f"a{number}.example.org" for number in range(70)]
    service = parse({**BASE, **app(hosts=hosts)}).services["app"]
    one = backend("app", service, {"web-0": 1}, {"web-0": "192.0.2.1:80"})
    sections = haproxy_sections(render([one], Edge(), "/a").config)
    assert max(len(line) for section in sections for line in section.lines) <= 64
