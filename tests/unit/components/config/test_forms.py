"""A value of the wrong form is refused with the right form of that value."""

import copy
import re
from collections.abc import Iterator
from ipaddress import ip_interface
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components.config import forms
from components.config.check import raw_config
from tests.support import golden
from tests.support.configs import APP, HTTP, changed, problems

SHOWN = re.compile(r"(?:write (?:it as a list|it without quotes|one value, not a list): |write )")
CERTIFICATES = [
    {
        "fullchain": "/etc/ssl/example.org/fullchain.pem",
        "privkey": "/etc/ssl/example.org/privkey.pem",
    }
]
WRITTEN = (
    "[{fullchain: /etc/ssl/example.org/fullchain.pem, privkey: /etc/ssl/example.org/privkey.pem}]"
)


@pytest.mark.parametrize(
    ("path", "value", "advice"),
    [
        (f"{APP}/hosts", "a.example.org", "write it as a list: [a.example.org]"),
        (f"{APP}/hosts", "a.example.org, b.example.org", "list: [a.example.org, b.example.org]"),
        (f"{APP}/hosts", None, "must be a list, such as [matomo.example.org]"),
        (f"{APP}/hosts", {"a": 1}, "must be a list, such as [matomo.example.org]"),
        (f"{APP}/command", "ls -l '/a b'", "write it as a list: [ls, -l, /a b]"),
        (f"{APP}/command", "a && b $C", "write it as a list: [sh, -c, a && b $C]"),
        (f"{HTTP}/allow", "10.0.0.1/8", "write it as a list: [10.0.0.0/8]"),
        (f"{APP}/volumes", {"name": "a", "path": "/a"}, "put `- ` before its first key"),
        (f"{APP}/port", [80], "write one value, not a list: 80"),
        (f"{APP}/port", ["80"], "write one value, not a list: 80"),
        (f"{APP}/port", "80", "write it without quotes: 80"),
        (f"{APP}/port", 80.0, "write 80"),
        (f"{APP}/memory", ["64MiB"], "write one value, not a list: 64MiB"),
        (f"{APP}/image", ["app:1"], "write one value, not a list: app:1"),
        (f"{APP}/read_only", "False", "write false"),
        ("edge/tls", {"self_signed": True, "hsts": "false"}, "write false"),
        (f"{APP}/health", [{"path": "/"}], "remove the `- ` before its first key"),
        (f"{APP}/health", [{"path": "/"}, {"interval": "3s"}], "remove the `- ` before its keys"),
        (f"{APP}/env", ["A=b", "C=d"], "write each entry as `name: value`, without a hyphen"),
        (f"{HTTP}/allow", ["10.0.0.1/8"], "did you mean 10.0.0.0/8 or 10.0.0.1?"),
        (f"{HTTP}/allow", ["2001:db8::1/32"], "did you mean 2001:db8::/32 or 2001:db8::1?"),
        ("farm/network", {"cidr": "10.90.0.1/24"}, "did you mean 10.90.0.0/24? ("),
        ("farm/ssh_from", ["10.0.0.1/8"], "did you mean 10.0.0.0/8 or 10.0.0.1?"),
        ("edge/bind", "192.0.2.5/24", "did you mean 192.0.2.5?"),
    ],
)
def test_the_advice_is_what_to_write(path: str, value: Any, advice: str) -> None:
    (problem,) = problems(changed(path, value))
    assert advice in problem


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (
            "edge/tls",
            {"cert": "/a.pem"},
            "edge.tls.cert: unknown key; Gatehouse calls it certificates for PEM files on the"
            f" edge's host, such as {{certificates: {WRITTEN}}} (got /a.pem)",
        ),
        (
            "edge",
            {"key": "/a.pem"},
            "edge.key: unknown key; Gatehouse calls it tls.certificates for PEM files on the"
            f" edge's host, such as {{tls: {{certificates: {WRITTEN}}}}} (got /a.pem)",
        ),
        (
            "edge/tls",
            {"certificates": [{**CERTIFICATES[0], "privkey": "-----BEGIN PRIVATE KEY-----"}]},
            "edge.tls.certificates.0.privkey: must be the path of a PEM file on the edge's host,"
            " not its content (value hidden: it may be secret)",
        ),
        (
            "edge/tls",
            {"certificates": [{**CERTIFICATES[0], "cert": "/a.pem"}]},
            "edge.tls.certificates.0.cert: unknown key; Gatehouse calls it fullchain (got /a.pem)",
        ),
        (
            "edge/tls",
            {"certificates": "/a.pem"},
            f"edge.tls.certificates: must be a list, such as {WRITTEN} (got /a.pem)",
        ),
    ],
)
def test_a_certificate_is_given_by_the_paths_of_its_files(
    path: str, value: Any, problem: str
) -> None:
    assert problems(changed(path, value)) == (problem,)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{APP}/secret_env", ["A=hunter2"]),
        (f"{HTTP}/basic_auth", ["me:hunter2"]),
        (f"{APP}/command", "app --password=hunter2"),
        (f"{APP}/env", {"DB_PASSWORD": ["hunter2"]}),
    ],
)
def test_a_secret_is_not_repeated(path: str, value: Any) -> None:
    (problem,) = problems(changed(path, value))
    assert "hunter2" not in problem


def leaves(value: Any, *place: str | int) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Yield each value below a value, and its place."""
    yield place, value
    if isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(each, *place, key)


def misshapen(value: Any) -> Iterator[Any]:
    """Yield the forms that somebody may have mistaken for a value's."""
    if isinstance(value, bool):
        yield from (str(value).lower(), [value])
    elif isinstance(value, int | float):
        yield from (str(value), [value], [str(value)])
    elif isinstance(value, str):
        yield [value]
    elif isinstance(value, list) and len(value) == 1:
        yield value[0]
    elif isinstance(value, dict) and value:
        yield [value]


EVERYTHING = raw_config((golden.FOLDER / "everything" / "stack.yaml").read_text())
MISTAKES = [
    (place, wrong) for place, value in leaves(EVERYTHING) if place for wrong in misshapen(value)
]


@pytest.mark.parametrize(("place", "wrong"), MISTAKES, ids=lambda each: str(each)[:60])
def test_each_key_has_advice_that_is_accepted(place: tuple[str | int, ...], wrong: Any) -> None:
    raw = copy.deepcopy(EVERYTHING)
    parent = raw
    for key in place[:-1]:
        parent = parent[key]  # type: ignore[index] # a list's keys are numbers
    parent[place[-1]] = wrong  # type: ignore[index]
    found = problems(raw)
    if not found or "unknown key" in found[0]:
        return  # both forms are right, or a map of free names
    (problem,) = found
    assert re.search(r"; (write|put|remove) ", problem), problem
    shown = re.search(rf"; {SHOWN.pattern}(.*) \(got ", problem)
    if shown is not None:
        parent[place[-1]] = yaml.safe_load(shown[1])  # type: ignore[index]
        assert problems(raw) == ()


@given(st.ip_addresses(), st.integers(0, 32))
def test_a_proposed_network_is_accepted_where_it_is_proposed(address: Any, prefix: int) -> None:
    for path in (f"{HTTP}/allow", "farm/ssh_from"):
        for problem in problems(changed(path, [f"{address}/{prefix}"])):
            meant = re.search(r"did you mean (.*)\?", problem)
            for each in meant[1].split(" or ") if meant else ():
                assert problems(changed(path, [each])) == ()
                assert address in ip_interface(each).network


@given(st.recursive(st.text() | st.integers() | st.booleans(), st.lists, max_leaves=4))
def test_a_value_is_written_as_yaml_reads_it(value: Any) -> None:
    text = forms.written(value)
    if "\n" not in text:
        assert yaml.safe_load(text) == value


@pytest.mark.parametrize("key", ["hosts", "port", "command", "http/allow"])
def test_a_value_that_cannot_be_written_is_refused_as_any_other(key: str) -> None:
    for value in (10**5000, float("inf"), "\ud800", [10**5000], ["\ud800"]):
        assert len(problems(changed(f"{APP}/{key}", value))) == 1


def test_a_value_of_several_lines_is_not_repeated() -> None:
    (problem,) = problems(changed(f"{APP}/command", "a\n\nb" * 3))
    assert "\n" not in problem
