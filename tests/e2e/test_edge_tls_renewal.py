"""Certificates of the edge on loopback that are renewed, taken up and watched."""

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.config.models.edge import Tls
from remote.edge_agent import control, status, timer, tls
from remote.edge_agent.__main__ import main
from remote.edge_agent.certificates import Files, read
from remote.edge_agent.renew import renew
from remote.edge_agent.system import poll
from tests.support import edge_load
from tests.support.edge_changes import ADDRESSES
from tests.support.edge_driver import SERVER_PORT, STATS_PORT, TLS_PORT, Edge, an_edge
from tests.support.edge_load import APP, SOCKETS, Servers
from tests.support.pems import Authority
from tests.support.tls_clients import INTERMEDIATE, curl, offered, s_client, serial

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="the edge's HAProxy is started by root: run this as root"
)


@pytest.fixture
def edge(live: Path, authority: Authority) -> Iterator[Edge]:
    with an_edge(Tls(port=TLS_PORT, folder=str(live)), authority.pem) as made:
        yield made


@pytest.fixture
def servers() -> Iterator[Servers]:
    made = Servers(SERVER_PORT)
    with made.running(*ADDRESSES):
        yield made


@pytest.fixture
def serving(edge: Edge, servers: Servers) -> Edge:  # noqa: ARG001 - they have to be there
    edge.apply({"web-0": ADDRESSES[0]})
    return edge


def test_a_renewed_certificate_is_taken_up_while_all_goes_on(
    serving: Edge, live: Path, authority: Authority
) -> None:
    before, reloads, worker = serial(), serving.instance.reloads(), serving.worker()
    others = serial(SOCKETS)
    assert renew(serving.instance).taken_up == ()
    with contextlib.closing(serving.entrance.http()) as connection:
        assert edge_load.exchange(connection)[0] == 200
        opened = connection.sock
        authority.issue(live / APP, APP, ends=91)
        renewed = renew(serving.instance)
        assert renewed.problems == ()
        assert renewed.taken_up == (f"{APP} from {live / APP / 'fullchain.pem'}",)
        assert edge_load.exchange(connection)[0] == 200
        assert connection.sock is opened, "which stays as it is"
    after = serial()
    assert after != before
    assert serial(None) == after, "the default one too"
    assert serial(SOCKETS) == others
    assert (serving.instance.reloads(), serving.worker()) == (reloads, worker)
    assert offered() == INTERMEDIATE
    serving.apply({"web-0": ADDRESSES[1]})
    assert serial() == after, "and is kept over a reload"
    assert renew(serving.instance).taken_up == ()


def test_a_wrong_new_certificate_is_told_and_the_old_one_stays(
    serving: Edge, live: Path, authority: Authority
) -> None:
    before = serial()
    key = (live / SOCKETS / "privkey.pem").read_text()
    authority.issue(live / APP, APP)
    (live / APP / "privkey.pem").write_text(key)
    authority.issue(live / SOCKETS, SOCKETS)
    renewed = renew(serving.instance)
    assert [each.split()[0] for each in renewed.taken_up] == [SOCKETS], "the others are"
    (problem,) = renewed.problems
    assert f"{live / APP / 'privkey.pem'} is not the key of" in problem
    assert serial() == before
    assert serving.get()[0] == 200


def no_spec(folder: Path) -> None:
    (folder / "files" / "facts.json").unlink()


def odd_spec(folder: Path) -> None:
    (folder / "files" / "facts.json").write_bytes(b"\xff{")


def no_files(folder: Path) -> None:
    shutil.rmtree((folder / "files").resolve())


def no_versions(folder: Path) -> None:
    shutil.rmtree(folder / "versions")


@pytest.mark.parametrize("damage", [no_spec, odd_spec, no_files, no_versions])
def test_a_renewal_that_knows_no_certificates_any_more_says_so(
    serving: Edge,
    live: Path,
    authority: Authority,
    capfd: pytest.CaptureFixture[str],
    damage: Callable[[Path], None],
) -> None:
    before = serial()
    damage(serving.instance.folder)
    authority.issue(live / APP, APP, ends=91)
    assert main(["renew", str(serving.instance.folder), serving.instance.name]) == 1
    assert "facts.json, which names the certificates, " in capfd.readouterr().err
    assert serial() == before
    serving.apply({"web-0": ADDRESSES[0]})
    assert serial() != before
    assert main(["renew", str(serving.instance.folder), serving.instance.name]) == 0


def test_a_long_chain_is_taken_up_too(serving: Edge, live: Path, authority: Authority) -> None:
    authority.issue(live / APP, APP)
    chain = live / APP / "fullchain.pem"
    chain.write_text(chain.read_text() + authority.pem * 40)
    assert len(chain.read_text()) > 16384, "more than HAProxy takes as one command"
    renewed = renew(serving.instance)
    assert renewed.problems == ()
    assert len(renewed.taken_up) == 1
    assert s_client("-servername", APP, "-showcerts").count("BEGIN CERTIFICATE") == 42


def metrics() -> dict[str, str]:
    """Return what Prometheus finds of certificates, by the name with its labels."""
    text = curl(f"http://127.0.0.1:{STATS_PORT}/metrics/certificates")
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: value for name, _, value in lines}


def expiry(domain: str) -> float:
    return float(metrics()[f'gatehouse_certificate_expiry_seconds{{domain="{domain}"}}'])


def test_metrics_tell_when_certificates_end_and_that_a_renewal_failed(
    serving: Edge, live: Path, authority: Authority
) -> None:
    now = time.time()
    told = metrics()
    assert abs(expiry(APP) - now - 90 * 86400) < 86400
    assert float(told["gatehouse_certificates_first_expiry_seconds"]) == min(
        expiry(APP), expiry(SOCKETS)
    )
    assert told["gatehouse_certificates_problems"] == "0"
    authority.issue(live / APP, APP, ends=45)
    authority.issue(live / SOCKETS, SOCKETS)
    (live / SOCKETS / "privkey.pem").write_text((live / APP / "privkey.pem").read_text())
    assert len(renew(serving.instance).problems) == 1
    assert abs(expiry(APP) - now - 45 * 86400) < 86400
    assert metrics()["gatehouse_certificates_problems"] == "1"
    assert float(metrics()["gatehouse_certificates_looked_seconds"]) >= int(now)
    known = status.read(serving.instance.folder)
    assert known is not None
    assert "is not the key of" in known.problems[0]
    authority.issue(live / SOCKETS, SOCKETS)
    assert renew(serving.instance).problems == ()
    assert metrics()["gatehouse_certificates_problems"] == "0"
    expected = metrics()
    assert serving.instance.reload()
    assert metrics() == expected, "and a worker that is new knows it too"


def test_a_renewal_that_gets_no_answer_is_made_the_next_time(
    serving: Edge, live: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = serial()
    authority.issue(live / APP, APP)
    monkeypatch.setattr(control, "SECONDS", 0.5)
    hand_over = tls._hand_over

    def stopped(*arguments: Any) -> str | None:
        os.kill(worker, signal.SIGSTOP)
        try:
            return hand_over(*arguments)
        finally:
            os.kill(worker, signal.SIGCONT)

    worker = serving.worker()
    with monkeypatch.context() as patched:
        patched.setattr(tls, "_hand_over", stopped)
        renewed = renew(serving.instance)
    assert renewed.taken_up == ()
    assert "is not loaded yet: HAProxy does not answer" in renewed.problems[0]
    assert serial() == before
    assert len(renew(serving.instance).taken_up) == 1
    assert serial() != before


def test_a_certificate_that_only_the_file_has_is_handed_over(
    serving: Edge, live: Path, authority: Authority
) -> None:
    authority.issue(live / APP, APP)
    pem = "".join((live / APP / each).read_text() for each in ("fullchain.pem", "privkey.pem"))
    (serving.instance.files / "certs" / f"{APP}.pem").write_text(pem)
    before = serial()
    assert len(renew(serving.instance).taken_up) == 1
    assert serial() != before
    worker = serving.worker()
    authority.issue(live / APP, APP)
    before = serial()
    serving.apply({"web-0": ADDRESSES[0]})
    assert serial() != before, "an update takes it up too"
    authority.issue(live / APP, APP)
    pem = read(Files.below(live / APP)).pem
    (serving.instance.files / "certs" / f"{APP}.pem").write_text(pem)
    before = serial()
    serving.apply({"web-0": ADDRESSES[0]})
    assert serial() != before, "also if the file has it already"
    assert serving.worker() == worker, "without a reload"


def test_the_loop_renews_and_ends_with_the_edge(
    edge: Edge,
    servers: Servers,  # noqa: ARG001
    live: Path,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timer, "LOOP_SECONDS", 0.2)
    edge.apply({"web-0": ADDRESSES[0]})
    before = serial()
    authority.issue(live / APP, APP)
    assert poll(lambda: serial() != before, 20)
    timer.start(edge.instance)  # a second one would be two
    program = str(edge.instance.program).encode()
    assert running(program)
    with edge.instance.locked():
        timer.stop(edge.instance)
        edge.instance.stop()
    assert poll(lambda: not running(program), 10)
    assert not edge.instance.folder.exists()


def running(words: bytes) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if words in (process / "cmdline").read_bytes():
                found.append(process.name)
    return found
