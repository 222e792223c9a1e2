"""Certificates by ACME: certbot at the edge, Pebble as the server, HTTP-01 through HAProxy."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from components.config.models.edge import Acme, Tls
from remote.edge_agent import acme, challenges
from remote.edge_agent.__main__ import main
from remote.edge_agent.certificates import AcmeServer
from remote.edge_agent.renew import renew
from tests.support import pebble
from tests.support.edge_changes import ADDRESSES
from tests.support.edge_driver import SERVER_PORT, TLS_PORT, Edge, an_edge
from tests.support.edge_load import APP, SOCKETS, Servers
from tests.support.pems import Authority
from tests.support.tls_clients import curl, s_client, serial

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="the edge's HAProxy is started by root: run this as root"
)
DAY = 86400.0
POOL = {"web-0": ADDRESSES[0]}
OTHER_POOL = {"web-0": ADDRESSES[1]}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def edge(tmp_path: Path, authority: Authority) -> Iterator[Edge]:
    ca = tmp_path / "ca.pem"
    ca.write_text(authority.pem)
    acme = Acme(email="ops@example.org", directory=pebble.DIRECTORY, ca=str(ca))
    servers = Servers(SERVER_PORT)
    with an_edge(Tls(port=TLS_PORT, acme=acme)) as made, servers.running(*ADDRESSES):
        yield made


def trusted_by(edge: Edge, root: str) -> bool:
    """Whether the edge answers, with a certificate below this root."""
    edge.entrance = replace(edge.entrance, authority=root)
    return edge.get()[0] == 200


def is_self_signed(name: str) -> bool:
    return "subject=O = Gatehouse, CN = self-signed" in s_client("-servername", name)


def test_certificates_are_obtained_and_renewed_in_time(
    edge: Edge, tmp_path: Path, authority: Authority, capfd: pytest.CaptureFixture[str]
) -> None:
    with pebble.running(tmp_path, authority) as server:
        edge.apply(POOL)
        told = capfd.readouterr().out
        for name in (APP, SOCKETS):
            assert f"certificate loaded for {name} from" in told
        assert "warning" not in told
        root = server.root()
        assert trusted_by(edge, root)
        assert "Verify return code: 20" in s_client("-servername", SOCKETS), "not a self-signed one"
        first, reloads = serial(), edge.instance.reloads()

        assert renew(edge.instance, ahead=59 * DAY).taken_up == (), "a third is left"
        renewed = renew(edge.instance, ahead=61 * DAY)
        assert renewed.problems == ()
        assert [each.split()[0] for each in renewed.taken_up] == [APP, SOCKETS]
        assert serial() != first
        assert edge.instance.reloads() == reloads
        assert trusted_by(edge, root)

        second = serial()
        edge.apply(OTHER_POOL)
        assert serial() == second
        assert "warning" not in capfd.readouterr().out
    renewed = renew(edge.instance, ahead=70 * DAY)
    assert renewed.problems[0].startswith(f"edge.tls.acme: {pebble.DIRECTORY} does not answer: ")
    assert renewed.problems[0].endswith(
        f"; no certificate for {APP}, {SOCKETS} yet, tried again later"
    )
    assert trusted_by(edge, root), "and the edge goes on"
    kept = [path for path in (edge.instance.folder / "acme").rglob("privkey*") if path.is_file()]
    assert {path.stat().st_mode & 0o077 for path in kept} == {0}


def test_a_server_that_is_down_does_not_stop_an_update(
    edge: Edge, tmp_path: Path, authority: Authority, capfd: pytest.CaptureFixture[str]
) -> None:
    edge.apply(POOL)
    told = capfd.readouterr().out
    assert f"warning: edge.tls.acme: {pebble.DIRECTORY} does not answer: " in told
    assert f"no certificate for {APP}, {SOCKETS} yet, tried again later" in told
    assert is_self_signed(APP)
    with pebble.running(tmp_path, authority) as server:
        assert len(renew(edge.instance).taken_up) == 2, "the next time that the timer runs"
        assert trusted_by(edge, server.root())


def test_a_server_that_refuses_a_domain_is_told_in_its_words(
    edge: Edge, tmp_path: Path, authority: Authority, capfd: pytest.CaptureFixture[str]
) -> None:
    with pebble.running(tmp_path, authority, refused=[APP]) as server:
        edge.apply(POOL)
        told = capfd.readouterr().out
        assert f"certificate loaded for {SOCKETS} from" in told
        assert (
            f"warning: edge.tls.acme: no certificate for {APP} from {pebble.DIRECTORY}, tried again"
            " later; certbot says:\n" in told
        )
        assert "urn:ietf:params:acme:error:rejectedIdentifier" in told
        assert is_self_signed(APP)
        orders = server.log.read_text().count("/order-plz")
        assert renew(edge.instance).problems == (), "it is not asked again at once"
        edge.apply(OTHER_POOL)
        assert f"warning: edge.tls.acme: no certificate for {APP} from" in capfd.readouterr().out
        assert main(["renew", str(edge.instance.folder), edge.instance.name]) == 1
        assert "urn:ietf:params:acme:error:rejectedIdentifier" in capfd.readouterr().err
        assert server.log.read_text().count("/order-plz") == orders
        assert len(renew(edge.instance, at_once=True).problems) == 1
        assert server.log.read_text().count("/order-plz") > orders


@pytest.mark.parametrize("days", [-20_000, 100, 20_000], ids=["1971", "expired", "far ahead"])
def test_a_wrong_clock_puts_no_certificate_of_the_edges_own_in_the_place_of_one(
    edge: Edge, authority: Authority, days: float
) -> None:
    assert edge.config.tls is not None
    assert edge.config.tls.acme is not None
    directory = edge.config.tls.acme.directory
    live = (
        AcmeServer(email="", directory=directory, ca=None).folder(edge.instance.folder)
        / "config/live"
    )
    for name in (APP, SOCKETS):
        authority.issue(live / name, name)
    edge.apply(POOL)
    assert trusted_by(edge, authority.pem)
    first = serial()
    renewed = renew(edge.instance, ahead=days * DAY)
    assert renewed.taken_up == ()
    assert "does not answer" in "".join(renewed.problems), "and it is told"
    assert serial() == first
    # And so with one from a file, which is gone.
    shutil.rmtree(live)
    assert renew(edge.instance, ahead=days * DAY).taken_up == ()
    assert serial() == first


def test_an_update_at_a_wrong_clock_keeps_what_was_obtained(
    edge: Edge, authority: Authority
) -> None:
    assert edge.config.tls is not None
    assert edge.config.tls.acme is not None
    directory = edge.config.tls.acme.directory
    live = (
        AcmeServer(email="", directory=directory, ca=None).folder(edge.instance.folder)
        / "config/live"
    )
    authority.issue(live / APP, APP, begins=-91, ends=-1)
    edge.apply(POOL)
    assert not is_self_signed(APP)
    assert is_self_signed(SOCKETS)


def emptied_all(config: Path) -> None:
    for path in config.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.write_bytes(b"")


def emptied_renewal(config: Path) -> None:
    (config / "renewal" / f"{APP}.conf").write_bytes(b"")


def no_renewal(config: Path) -> None:
    (config / "renewal" / f"{APP}.conf").unlink()


def no_live(config: Path) -> None:
    shutil.rmtree(config / "live" / APP)


def no_archive(config: Path) -> None:
    shutil.rmtree(config / "archive" / APP)


@pytest.mark.parametrize("damage", [emptied_all, emptied_renewal, no_renewal, no_live, no_archive])
def test_certbots_own_files_may_be_damaged(
    edge: Edge, tmp_path: Path, authority: Authority, damage: Callable[[Path], None]
) -> None:
    config = AcmeServer("", pebble.DIRECTORY, None).folder(edge.instance.folder) / "config"
    with pebble.running(tmp_path, authority) as server:
        edge.apply(POOL)
        damage(config)
        for days in (61, 62):
            renewed = renew(edge.instance, ahead=days * DAY, at_once=True)
            assert renewed.problems == ()
            assert {each.split()[0] for each in renewed.taken_up} >= {APP}
        assert trusted_by(edge, server.root())


def test_a_server_that_forgot_the_account_gets_another_one(
    edge: Edge, tmp_path: Path, authority: Authority
) -> None:
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    with pebble.running(tmp_path / "before", authority):
        edge.apply(POOL)
    first = serial()
    with pebble.running(tmp_path / "after", authority) as server:
        renewed = renew(edge.instance, ahead=61 * DAY)
        assert renewed.problems == ()
        assert len(renewed.taken_up) == 2
        assert serial() != first
        assert trusted_by(edge, server.root())


def test_a_challenge_that_does_not_arrive_is_told_in_certbots_words(
    edge: Edge, tmp_path: Path, authority: Authority, capfd: pytest.CaptureFixture[str]
) -> None:
    with pebble.running(tmp_path, authority, asks=1):
        edge.apply(POOL)
    told = capfd.readouterr().out
    assert "Certbot failed to authenticate some domains" in told
    for name in (APP, SOCKETS):
        assert f"  Domain: {name}\n" in told
    assert edge.state("web-0")[0] == 2
    assert is_self_signed(APP)


def test_certificates_from_files_are_used_until_their_renewal_is_late(
    edge: Edge, tmp_path: Path, authority: Authority, capfd: pytest.CaptureFixture[str]
) -> None:
    live = tmp_path / "live"
    for name in (APP, SOCKETS):
        authority.issue(live / name, name, begins=-60, ends=30)
    assert edge.config.tls is not None
    with_files = edge.config.tls.model_copy(update={"folder": str(live)})
    edge.config = edge.config.model_copy(update={"tls": with_files})
    edge.apply(POOL)
    assert capfd.readouterr().out == "", "nobody was asked for anything"
    assert trusted_by(edge, authority.pem)
    with pebble.running(tmp_path, authority) as server:
        renewed = renew(edge.instance, ahead=16 * DAY)
        assert renewed.problems == ()
        assert len(renewed.taken_up) == 2
        assert trusted_by(edge, server.root())


def test_nothing_but_challenges_is_served_in_plain(
    edge: Edge, tmp_path: Path, authority: Authority
) -> None:
    with pebble.running(tmp_path, authority):
        edge.apply(POOL)
    written = ("--output", "/dev/null", "--write-out", "%{http_code}")
    host = f"http://{APP}:{edge.config.port}"
    assert curl(*written, f"{host}/") == "301"
    assert curl(*written, f"{host}/.well-known/acme-challenge/x") == "404", "none is waited for"
    assert curl(*written, f"{host}/.well-known/other") == "301"


def test_nobody_but_certbots_hook_answers_challenges(
    edge: Edge, tmp_path: Path, authority: Authority
) -> None:
    with pebble.running(tmp_path, authority):
        edge.apply(POOL)
    path = "/.well-known/acme-challenge/token"
    url = f"http://{APP}:{edge.config.port}{path}"
    assert curl(url) == "no such challenge\n"
    environment = {"CERTBOT_TOKEN": "token", "CERTBOT_VALIDATION": "token.thumb"}
    challenges.answer(edge.instance, environment)
    assert curl(url) == "token.thumb"
    assert curl(f"{url}/x") == curl(f"{url}x") == "no such challenge\n"
    challenges.forget(edge.instance)
    assert curl(url) == "no such challenge\n"
    # Nothing listens for it: every port here is one of the edge's own, or of the servers behind.
    assert "8402" not in edge.text({})


def test_many_domains_share_a_certificate_and_are_renewed_together(
    edge: Edge, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acme, "_ALONE", 1)
    with pebble.running(tmp_path, authority) as server:
        edge.apply(POOL)
        assert trusted_by(edge, server.root())
        assert "Verify return code: 20" in s_client("-servername", SOCKETS), "not a self-signed one"
        renewed = renew(edge.instance, ahead=61 * DAY)
        assert [each.split()[0] for each in renewed.taken_up] == [APP, SOCKETS]
    live = edge.instance.folder / "acme"
    assert len(list(live.rglob("live/group-*/fullchain.pem"))) == 1
