"""The test of the test: the load generator counts every failure, and nothing else."""

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab import trust
from lab.load.clients import Clients
from lab.load.plan import ClientKind, LoadPlan
from lab.load.run import LoadRun
from tests.support import self_signed
from tests.support.load_server import Behaviour, serving

COUNT = 60
HTTP1 = (ClientKind.KEEP_ALIVE, ClientKind.NEW, ClientKind.POST)
EVERY = tuple(ClientKind)
SENT = (*HTTP1, ClientKind.WEBSOCKET)
CLOSED = "connection closed before the answer's end"


def plan(port: int, *kinds: ClientKind, **changed: Any) -> LoadPlan:
    """Ask `COUNT` times within 0.12 s."""
    values: dict[str, Any] = {
        "address": "127.0.0.1",
        "port": port,
        "host": "hello.lab",
        "rate": 500.0,
        "body": re.compile(r"hello-web-[0-9]+-[0-9]+\n"),
        "timeout": 60.0,
        "most_requests": COUNT,
        "shares": dict.fromkeys(kinds or EVERY, 1),
        "trusted": None,
        "post_seconds": (0.01, 0.05),
    }
    return LoadPlan(**values | changed)


def load(
    behaviour: Behaviour,
    *kinds: ClientKind,
    during: Callable[[LoadRun], None] | None = None,
    certificate: Path | None = None,
    **changed: Any,
) -> tuple[list[dict[str, Any]], int, int]:
    """Run it to its end: the sections, and how many requests and connections the server had."""
    sections: list[dict[str, Any]] = []

    async def whole() -> tuple[int, int]:
        async with serving(behaviour, certificate) as server:
            run = LoadRun(plan(server.port, *kinds, **changed), "r", "all", sections.append)
            if during is not None:
                during(run)
            await run.run()
            return server.requests, server.connections

    requests, connections = asyncio.run(whole())
    return sections, requests, connections


def every(number: int, what: str) -> Behaviour:
    """Misbehave at each `number`-th request."""
    return lambda request: what if request % number == 0 else "ok"


@pytest.mark.parametrize("kind", EVERY)
def test_a_faultless_server_fails_no_client(kind: ClientKind) -> None:
    (section,), requests, connections = load(every(1, "ok"), kind)
    assert (section["requests"], section["failed"], section["failures"]) == (COUNT, 0, [])
    assert section["clients"][kind.value] == {"requests": COUNT, "failed": 0}
    assert requests == COUNT
    assert 0 < section["p50_ms"] <= section["p99_ms"] <= section["slowest_ms"]
    assert section["ended"] == "count"
    assert {
        ClientKind.NEW: connections == COUNT,
        ClientKind.HTTP2: connections == 1,
        ClientKind.KEEP_ALIVE: 4 <= connections <= COUNT,
        ClientKind.POST: connections <= COUNT,
        ClientKind.WEBSOCKET: connections == COUNT,
    }[kind], connections


@pytest.mark.parametrize(("kind", "opened"), [(ClientKind.KEEP_ALIVE, 4), (ClientKind.POST, 1)])
def test_a_connection_that_is_free_is_used_again(kind: ClientKind, opened: int) -> None:
    async def one_after_another() -> int:
        async with serving(every(1, "ok")) as server:
            clients = Clients(plan(server.port, kind), "r")
            for number in range(12):
                await clients.of(kind)(number)
            clients.close()
            return server.connections

    assert asyncio.run(one_after_another()) == opened


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("reset", "connection reset"),
        ("vanish", CLOSED),
        ("502", "status 502"),
        ("truncate", CLOSED),
    ],
)
@pytest.mark.parametrize("kind", SENT)
def test_each_failure_is_counted_once_and_asked_once(
    kind: ClientKind, what: str, reason: str
) -> None:
    (section,), requests, _ = load(every(6, what), kind)
    assert section["failed"] == COUNT // 6
    assert section["reasons"] == {f"{kind.value}: {reason}": COUNT // 6}
    assert requests == COUNT, "nothing is asked a second time"


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("502", "status 502"),
        ("reset stream", "stream reset"),
        ("truncate", "stream reset"),
    ],
)
def test_each_failure_of_a_stream_is_counted_once(what: str, reason: str) -> None:
    (section,), requests, connections = load(every(6, what), ClientKind.HTTP2)
    assert section["reasons"] == {f"http/2: {reason}": COUNT // 6}
    assert (requests, connections) == (COUNT, 1)


@pytest.mark.parametrize("what", ["reset", "vanish"])
def test_a_lost_http2_connection_fails_what_was_open(what: str) -> None:
    (section,), _, connections = load(every(6, what), ClientKind.HTTP2)
    # One at least, and those that share the connection at that moment with it.
    # On a slow machine, all may have been sent on the first connection before it was lost.
    assert section["failed"] >= max(connections - 1, 1)
    # The kernel resets a connection that is closed with something unread.
    assert set(section["reasons"]) <= {"http/2: connection reset", f"http/2: {CLOSED}"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed.certificate(tmp_path_factory.mktemp("tls"), "hello.lab")


@pytest.mark.parametrize("kind", EVERY)
def test_over_tls_all_is_the_same(kind: ClientKind, certificate: Path) -> None:
    behaviour = every(6, "vanish" if kind is ClientKind.WEBSOCKET else "502")
    (section,), requests, connections = load(
        behaviour, kind, certificate=certificate, trusted=certificate.parent
    )
    assert (section["failed"], requests) == (COUNT // 6, COUNT)
    assert len(section["reasons"]) == 1, section["reasons"]
    assert (connections == 1) == (kind is ClientKind.HTTP2)


@pytest.mark.parametrize("kind", EVERY)
def test_who_is_not_trusted_gets_no_request(
    kind: ClientKind, certificate: Path, tmp_path: Path
) -> None:
    another = self_signed.certificate(tmp_path, "hello.lab")
    (section,), requests, _ = load(every(1, "ok"), kind, certificate=certificate, trusted=another)
    assert (section["failed"], requests) == (COUNT, 0)
    (reason,) = section["reasons"]
    assert reason.startswith(f"{kind.value}: no connection: certificate: ")


def test_a_certificate_for_another_domain_is_refused(certificate: Path) -> None:
    (section,), requests, _ = load(
        every(1, "ok"),
        ClientKind.NEW,
        certificate=certificate,
        trusted=certificate,
        host="other.lab",
    )
    assert (section["failed"], requests) == (COUNT, 0)


def test_a_server_without_tls_fails_who_expects_it(certificate: Path) -> None:
    (section,), requests, _ = load(every(1, "ok"), ClientKind.NEW, trusted=certificate)
    assert (section["failed"], requests) == (COUNT, 0)
    assert all("no connection: " in reason for reason in section["reasons"])


def test_no_certificate_to_trust_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no certificate \(\*\.pem\)"):
        trust.context(tmp_path)


@pytest.mark.parametrize("what", ["twice", "lose"])
def test_a_post_that_comes_back_twice_or_empty_has_the_wrong_body(what: str) -> None:
    (section,), requests, _ = load(every(6, what), ClientKind.POST)
    assert section["reasons"] == {"post: wrong body": COUNT // 6}
    assert requests == COUNT


def test_an_answer_that_does_not_come_is_a_time_out() -> None:
    (section,), _, _ = load(lambda number: "hang" if number in (3, 7, 8) else "ok", timeout=6.0)
    assert section["failed"] == 3
    assert sum(section["reasons"].values()) == 3
    assert all(reason.endswith("no answer within 6 s") for reason in section["reasons"])
    assert section["slowest_ms"] >= 6000
    assert all(each["after_ms"] >= 6000 for each in section["failures"])


def test_nobody_there_is_told_as_such() -> None:
    sections: list[dict[str, Any]] = []

    async def whole() -> None:
        async with serving(every(1, "ok")) as server:
            port = server.port
        await LoadRun(plan(port), "r", "all", sections.append).run()

    asyncio.run(whole())
    assert sections[0]["failed"] == COUNT
    assert {reason.partition(": ")[2] for reason in sections[0]["reasons"]} == {
        "no connection: ECONNREFUSED"
    }


@pytest.mark.parametrize("what", ["close", "close idle"])
@pytest.mark.parametrize("kind", HTTP1)
def test_a_graceful_close_is_no_failure(kind: ClientKind, what: str) -> None:
    (section,), requests, connections = load(every(3, what), kind)
    assert section["reasons"] == {}
    assert requests == COUNT
    assert connections >= COUNT // 3


def test_a_graceful_goaway_is_no_failure() -> None:
    # So slowly that no machine sends them all before the first GOAWAY comes.
    (section,), requests, connections = load(every(10, "go away"), ClientKind.HTTP2, rate=50.0)
    assert section["reasons"] == {}
    assert requests == COUNT
    assert 1 < connections <= COUNT // 10


def test_a_stream_that_a_goaway_leaves_out_is_a_failure() -> None:
    (section,), _, _ = load(every(10, "refuse"), ClientKind.HTTP2)
    assert section["failed"] >= COUNT // 10
    assert set(section["reasons"]) == {"http/2: refused by a GOAWAY"}


def test_something_else_than_http_is_no_answer() -> None:
    sections: list[dict[str, Any]] = []

    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        await writer.drain()
        writer.close()

    async def whole() -> None:
        listening = await asyncio.start_server(rude, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        await LoadRun(plan(port), "r", "all", sections.append).run()
        listening.close()
        await listening.wait_closed()

    asyncio.run(whole())
    assert sections[0]["failed"] == COUNT


def test_more_than_may_be_open_is_not_sent_and_failed() -> None:
    (section,), requests, _ = load(every(1, "hang"), ClientKind.NEW, most_open=10, timeout=6.0)
    assert section["failed"] == COUNT
    assert section["reasons"]["new connection: not sent: 10 in flight"] == COUNT - 10
    assert requests == 10


def test_a_request_belongs_to_the_section_in_which_it_was_due() -> None:
    runs: list[LoadRun] = []

    def first_hangs(number: int) -> str:
        if number == 1:
            runs[0].mark("second")
        return "hang" if number == 1 else "ok"

    # So slow that most of them come after the mark, however busy the machine is.
    sections, requests, _ = load(first_hangs, during=runs.append, rate=50.0, timeout=6.0)
    # The first one's result waits for its last request.
    by_name = {section["section"]: section for section in sections}
    assert (by_name["all"]["failed"], by_name["second"]["failed"]) == (1, 0)
    assert by_name["all"]["requests"] + by_name["second"]["requests"] == COUNT == requests
    assert by_name["all"]["ended"] is None


def test_it_ends_when_its_time_is_over() -> None:
    (section,), _, _ = load(every(1, "ok"), most_seconds=0.1, most_requests=1_000_000)
    assert section["ended"] == "time"


def test_latency_counts_from_when_a_request_was_due() -> None:
    began = time.monotonic()
    (section,), _, _ = load(
        every(1, "ok"), ClientKind.POST, post_seconds=(0.5, 0.5), most_requests=1
    )
    assert section["failed"] == 0
    whole = (time.monotonic() - began) * 1000
    assert section["slowest_ms"] <= whole - 500, "the time that the body takes is the client's own"


def test_as_a_process_it_marks_sections_and_ends_with_its_input() -> None:
    async def whole() -> list[dict[str, Any]]:
        async with serving(every(1, "ok")) as server:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "lab.load", "--target", f"127.0.0.1:{server.port}"),
                *("--host", "hello.lab", "--rate", "100", "--section", "one"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            assert process.stdin is not None
            assert process.stdout is not None
            while server.requests < 10:
                await asyncio.sleep(0.01)
            process.stdin.write(b"two\n")
            first = await process.stdout.readline()
            seen = server.requests
            while server.requests < seen + 10:
                await asyncio.sleep(0.01)
            process.stdin.close()
            rest = await process.stdout.read()
            assert await process.wait() == 0
            return [json.loads(line) for line in (first + rest).splitlines()]

    one, two = asyncio.run(whole())
    assert (one["section"], two["section"]) == ("one", "two")
    assert one["requests"] >= 9
    assert (one["failed"], two["failed"]) == (0, 0)
    assert two["ended"] == "stopped"


def test_as_a_process_it_refuses_other_targets() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "lab.load", "--target", "192.0.2.1:80"),
            *("--host", "a", "--rate", "1"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: target: 192.0.2.1: load goes to loopback")
