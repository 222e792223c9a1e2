"""When the edge asks an ACME server, and for how long it leaves one alone that refused."""

import itertools
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.edge.keeper import acme
from components.edge.keeper.certificates import Acme, Spec, choose
from components.edge.keeper.instance import Instance
from tests.pems import Authority

A, B = "a.example.org", "b.example.org"
MINUTE, DAY = 60.0, 86400.0
SERVER = Acme(email="a@b.org", directory="https://acme.example/dir", ca=None)
SPEC = Spec(domains=(A, B), folder=None, certificates=(), self_signed=False, acme=SERVER)


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    return Instance(str(tmp_path / "edge"), "test")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have certbot refuse everything but b.example.org, and note what it was asked for."""
    made: list[str] = []

    def certbot(_: Instance, __: Acme, domains: Sequence[str]) -> str | None:
        made.extend(domains)
        return "  no" if A in domains else None

    monkeypatch.setattr(acme, "_certbot", certbot)
    monkeypatch.setattr(acme, "_unready", lambda _: None)
    return made


def ask(instance: Instance, now: float, spec: Spec = SPEC, **how: Any) -> list[str]:
    return acme.obtain(instance, spec, choose(spec, now), now, **how)


def test_each_domain_is_asked_for_once_and_a_refusal_is_told(
    instance: Instance, asked: list[str]
) -> None:
    assert ask(instance, time.time()) == [
        f"edge.tls.acme: no certificate for {A} from https://acme.example/dir, tried again later;"
        " certbot says:\n  no"
    ]
    assert asked == [A, B]


def test_a_refused_domain_is_left_alone_for_longer_each_time(
    instance: Instance, asked: list[str]
) -> None:
    now = time.time()
    only_a = replace(SPEC, domains=(A,))
    tried: list[int] = []
    for minute in range(0, 3 * 24 * 60, 5):
        ask(instance, now + minute * MINUTE, only_a)
        if len(asked) > len(tried):
            tried.append(minute)
    pauses = [after - before for before, after in itertools.pairwise(tried)]
    assert pauses[:8] == [15, 30, 60, 120, 240, 480, 960, 1440]
    ask(instance, now + tried[-1] * MINUTE + 1, only_a, at_once=True)
    assert len(asked) == len(tried) + 1


def test_what_is_refused_no_more_starts_anew(
    instance: Instance, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    ask(instance, now)
    monkeypatch.setattr(acme, "_certbot", lambda *_: asked.append("fine"))
    ask(instance, now + 15 * MINUTE, replace(SPEC, domains=(A,)))
    assert asked[-1] == "fine"
    kept = SERVER.folder(instance.folder) / "attempts.json"
    assert kept.read_text() == "{}"


def test_nothing_is_asked_of_a_server_that_is_not_there(
    instance: Instance, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acme, "_unready", lambda _: "https://acme.example/dir does not answer: no")
    assert ask(instance, time.time()) == [
        "edge.tls.acme: https://acme.example/dir does not answer: no; no certificate for"
        f" {A}, {B} yet, tried again later"
    ]
    assert asked == []


@pytest.mark.parametrize(("days", "due"), [(16, False), (14, True)])
def test_a_certificate_from_a_file_is_only_replaced_when_its_renewal_is_late(
    instance: Instance, asked: list[str], tmp_path: Path, days: float, due: bool
) -> None:
    Authority().issue(tmp_path / "live" / A, A, B, begins=days - 90, ends=days)
    ask(instance, time.time(), replace(SPEC, folder=tmp_path / "live"))
    assert bool(asked) == due


@pytest.mark.parametrize(("days", "due"), [(31, False), (29, True)])
def test_its_own_is_renewed_when_a_third_of_its_life_is_left(
    instance: Instance, asked: list[str], days: float, due: bool
) -> None:
    for domain in (A, B):
        live = SERVER.folder(instance.folder) / "config" / "live" / domain
        Authority().issue(live, domain, begins=days - 90, ends=days)
    ask(instance, time.time())
    assert bool(asked) == due


def test_another_server_starts_with_nothing(instance: Instance, asked: list[str]) -> None:
    live = SERVER.folder(instance.folder) / "config" / "live"
    Authority().issue(live / B, B)
    ask(instance, time.time())
    assert asked == [A]
    staging = replace(SERVER, directory="https://staging.acme.example/dir")
    ask(instance, time.time(), replace(SPEC, acme=staging))
    assert asked == [A, A, B]


def test_wildcards_are_not_asked_for(instance: Instance, asked: list[str]) -> None:
    ask(instance, time.time(), replace(SPEC, domains=("*.example.org",), self_signed=True))
    assert asked == []
