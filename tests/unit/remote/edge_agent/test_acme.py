"""When the edge asks an ACME server, and for how long it leaves one alone that refused."""

import contextlib
import itertools
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote.edge_agent import acme, install
from remote.edge_agent.certificates import AcmeServer, Spec, choose
from remote.edge_agent.instance import Instance
from remote.edge_agent.tls import issued
from tests.support.pems import Authority

A, B = "a.example.org", "b.example.org"
MINUTE, DAY = 60.0, 86400.0
SERVER = AcmeServer(email="a@b.org", directory="https://acme.example/dir", ca=None)
SPEC = Spec(domains=(A, B), folder=None, certificates=(), self_signed=False, acme=SERVER)


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    return Instance(str(tmp_path / "edge"), "test")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have certbot refuse everything but b.example.org, and note what it was asked for."""
    made: list[str] = []
    monkeypatch.setattr(acme, "_certbot", certbot(made, refused=A))
    monkeypatch.setattr(acme, "_unready", lambda _: None)
    return made


def certbot(made: list[str], refused: str = "") -> Callable[..., str | None]:
    """Return a certbot that obtains all but one, and notes what it was asked for."""

    def run(
        instance: Instance, server: AcmeServer, domains: Sequence[str], name: str
    ) -> str | None:
        made.extend(domains)
        if refused in domains:
            return "  no"
        Authority().issue(server.folder(instance.folder) / "config" / "live" / name, *domains)
        return None

    return run


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
    monkeypatch.setattr(acme, "_certbot", certbot(asked))
    ask(instance, now + 15 * MINUTE, replace(SPEC, domains=(A,)))
    assert asked == [A, B, A]
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


def test_an_attempt_noted_while_the_clock_was_ahead_holds_nothing_up(
    instance: Instance, asked: list[str]
) -> None:
    now = time.time()
    only_a = replace(SPEC, domains=(A,))
    ask(instance, now + 10 * 365 * DAY, only_a)
    ask(instance, now, only_a)
    assert asked == [A, A]
    ask(instance, now + 1, only_a)
    assert asked == [A, A], "and counts from now on"


def test_years_of_refusals_make_no_pause_longer_than_a_day(
    instance: Instance, asked: list[str]
) -> None:
    now = time.time()
    path = SERVER.folder(instance.folder) / "attempts.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({A: [5000, now - DAY + MINUTE, "refused"]}))
    only_a = replace(SPEC, domains=(A,))
    ask(instance, now, only_a)
    assert asked == []
    ask(instance, now + 2 * MINUTE, only_a)
    assert asked == [A]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "[1]", "{", '{"a": 1}', '{"a": [1]}', '{"a": [[], 2]}', '{"a": [Infinity, 2]}'],
)
def test_attempts_that_cannot_be_read_hold_nothing_up(
    instance: Instance, asked: list[str], text: str
) -> None:
    path = SERVER.folder(instance.folder) / "attempts.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    ask(instance, time.time(), replace(SPEC, domains=(A,)))
    assert asked == [A]


def test_attempts_of_the_version_before_are_read(instance: Instance, asked: list[str]) -> None:
    now = time.time()
    path = SERVER.folder(instance.folder) / "attempts.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({A: [1, now - 10 * MINUTE]}))
    ask(instance, now, replace(SPEC, domains=(A,)))
    assert asked == []
    ask(instance, now + 6 * MINUTE, replace(SPEC, domains=(A,)))
    assert asked == [A]


def test_why_a_domain_waits_is_known_until_it_has_a_certificate(
    instance: Instance, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    only_a = replace(SPEC, domains=(A,))
    told = ask(instance, now, only_a)
    assert acme.waiting(instance, only_a, told) == [], "it is said already"
    assert ask(instance, now + 1, only_a) == []
    assert acme.waiting(instance, only_a, []) == told
    monkeypatch.setattr(acme, "_certbot", certbot(asked))
    ask(instance, now + 15 * MINUTE, only_a)
    assert acme.waiting(instance, only_a, []) == []


def other_domain(live: Path) -> None:
    Authority().issue(live, "other.example.net")


def other_key(live: Path) -> None:
    chain = (Authority().issue(live, A) / "fullchain.pem").read_text()
    Authority().issue(live, A)
    (live / "fullchain.pem").write_text(chain)


def issuer_first(live: Path) -> None:
    chain = Authority().issue(live, A) / "fullchain.pem"
    leaf, end, issuer = chain.read_text().partition("-----END CERTIFICATE-----\n")
    chain.write_text(issuer + leaf + end)


def of_tomorrow(live: Path) -> None:
    Authority().issue(live, A, begins=1)


def of_the_past(live: Path) -> None:
    Authority().issue(live, A, begins=-9, ends=-1)


def empty(live: Path) -> None:
    live.mkdir(parents=True)
    (live / "fullchain.pem").touch()


@pytest.mark.parametrize(
    ("issue", "why"),
    [
        (other_domain, "the server's certificate is for other.example.net"),
        (other_key, "privkey.pem is not the key of"),
        (issuer_first, "privkey.pem is not the key of"),
        (of_tomorrow, "is not valid before"),
        (of_the_past, "look at the clock of this machine"),
        (empty, "fullchain.pem has no CERTIFICATE in it"),
    ],
)
def test_a_certificate_that_is_of_no_use_is_told_and_not_asked_for_each_hour(
    instance: Instance,
    asked: list[str],
    monkeypatch: pytest.MonkeyPatch,
    issue: Callable[[Path], None],
    why: str,
) -> None:
    def odd(instance: Instance, server: AcmeServer, domains: Sequence[str], name: str) -> None:
        asked.extend(domains)
        issue(server.folder(instance.folder) / "config" / "live" / name)

    monkeypatch.setattr(acme, "_certbot", odd)
    only_a, now = replace(SPEC, domains=(A,)), time.time()
    (told,) = ask(instance, now, only_a)
    assert why in told
    assert f"no certificate for {A} from {SERVER.directory}, tried again later; " in told
    assert ask(instance, now + 14 * MINUTE, only_a) == []
    assert acme.waiting(instance, only_a, []) == [told]
    assert asked == [A]


def test_the_first_of_a_group_may_be_the_one_that_is_not_proved(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = tuple(f"{number}.example.org" for number in range(26))

    def first_is_left_out(
        instance: Instance, server: AcmeServer, asked: Sequence[str], name: str
    ) -> None:
        live = server.folder(instance.folder) / "config" / "live" / name
        Authority().issue(live, *(asked[1:] or asked))

    monkeypatch.setattr(acme, "_certbot", first_is_left_out)
    monkeypatch.setattr(acme, "_unready", lambda _: None)
    (told,) = ask(instance, time.time(), replace(SPEC, domains=names))
    assert f"no certificate for {names[0]} from" in told


@contextlib.contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[AcmeServer]:
    """Yield a server whose certificate nobody asks for, as it answers in plain."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listening.accept()
                with connection:
                    connection.recv(4096)
                    answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield replace(SERVER, directory=f"http://127.0.0.1:{listening.getsockname()[1]}/dir")


def trickling(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(100):
        connection.sendall(b" ")
        time.sleep(0.1)


def trickling_headers(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    for _ in range(100):
        connection.sendall(b"x")
        time.sleep(0.1)


def endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(1000):
        connection.sendall(b" " * 2**20)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (trickling, "no complete answer after 1 s"),
        (trickling_headers, "no complete answer after 1 s"),
        (endless, "it is longer than 1048576 bytes"),
        (lambda _: None, "Remote end closed connection without response"),
        (lambda each: each.sendall(b"HTTP/1.1 200 OK\r\n\r\n{}"), None),
        (lambda each: each.sendall(b"hello\r\n\r\n"), "hello"),
        (
            lambda each: each.sendall(b"HTTP/1.1 301 x\r\nLocation: http://[/\r\n\r\n"),
            "Invalid IPv6 URL",
        ),
    ],
    ids=["trickles", "trickles in headers", "endless", "nothing", "right", "odd", "odd redirect"],
)
def test_a_directory_that_never_ends_holds_nothing_up(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[socket.socket], None], why: str | None
) -> None:
    monkeypatch.setattr(acme, "_DIRECTORY_SECONDS", 1.0)
    monkeypatch.setattr(install, "program", lambda name: name)
    with server(answer) as asked:
        told = acme._unready(asked)
    assert (told is None) if why is None else (told is not None and why in told), told


labels = st.from_regex(r"[a-z]{1,3}", fullmatch=True)
domains = st.builds(lambda *each: ".".join(each), labels, st.sampled_from(("a.org", "b.org")))


@given(st.lists(domains, unique=True, max_size=400), st.sets(domains))
def test_never_more_than_fifty_certificates_at_once_below_a_registered_domain(
    due: list[str], refused: set[str]
) -> None:
    groups = acme.together(due, due, refused)
    assert sorted(domain for group in groups for domain in group) == sorted(due)
    for group in groups:
        assert len({acme.registered(each) for each in group}) == 1
        assert len(group) <= 100, "Let's Encrypt takes no more"
    counts = Counter(acme.registered(group[0]) for group in groups)
    assert max(counts.values(), default=0) <= 50


def test_one_domain_that_is_refused_keeps_no_others_from_a_certificate(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = tuple(f"{number}.example.org" for number in range(60))
    bad = {names[3], names[40]}
    live = SERVER.folder(instance.folder) / "config" / "live"
    authority = Authority()

    def certbot(_: Instance, __: AcmeServer, asked: Sequence[str], name: str) -> str | None:
        if bad & set(asked):
            return "  urn:ietf:params:acme:error:rejectedIdentifier"
        authority.issue(live / name, *asked)
        return None

    monkeypatch.setattr(acme, "_certbot", certbot)
    monkeypatch.setattr(acme, "_unready", lambda _: None)
    spec, now = replace(SPEC, domains=names), time.time()
    for attempt in range(4):
        ask(instance, now + attempt * 61 * MINUTE, spec)
    without = {each for each in names if issued(instance, SERVER, each, now + DAY) is None}
    assert without == bad
    assert len(list(live.iterdir())) <= 50


def test_few_domains_have_a_certificate_each() -> None:
    due = [f"{number}.example.org" for number in range(25)]
    assert acme.together(due, due) == [(each,) for each in due]
    more = [*due, "25.example.org", "example.net"]
    assert [len(group) for group in acme.together(more, more)] == [1, 25, 1]


def test_a_limit_that_is_reached_stops_the_others_of_its_domain(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Sequence[str]] = []

    def certbot(_: Instance, __: AcmeServer, asked: Sequence[str], ___: str) -> str:
        made.append(asked)
        return "  urn:ietf:params:acme:error:rateLimited :: too many certificates (50)"

    monkeypatch.setattr(acme, "_certbot", certbot)
    monkeypatch.setattr(acme, "_unready", lambda _: None)
    spec = replace(SPEC, domains=(A, B, "c.example.net"))
    problems = ask(instance, time.time(), spec)
    assert made == [(A,), ("c.example.net",)]
    assert "too many certificates (50)" in problems[0]
    assert problems[1] == (
        f"edge.tls.acme: no certificate for {B} yet, tried again later: the server's limit for"
        " example.org is reached"
    )


def test_a_group_never_takes_the_certificate_of_another_ones_place() -> None:
    names = [acme._lineage(each) for each in ((A,), (B,), (A, B), (B, A), (A, B, "c.example.org"))]
    assert len(set(names)) == len(names)


def test_a_domain_is_served_by_the_certificate_of_its_group(
    instance: Instance, asked: list[str]
) -> None:
    live = SERVER.folder(instance.folder) / "config" / "live"
    Authority().issue(live / "group-1", B, A)
    ask(instance, time.time())
    assert asked == []
    found = issued(instance, SERVER, A, time.time())
    assert found is not None
    assert found.source == live / "group-1" / "fullchain.pem"
