"""Today's edge agent takes over an edge from a Gatehouse before ``facts.json``.

``tests/support/older_edge`` is a configuration as that Gatehouse left it, without its paths.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.config.models.edge import Tls
from remote.archive import EDGE_AGENT, archive
from remote.edge_agent import bundle, chroot, timer, users
from remote.edge_agent.__main__ import main
from remote.edge_agent.certificates import Files
from remote.edge_agent.system import EdgeError, poll, text_of
from remote.edge_agent.versions import Version
from tests.support import edge_load
from tests.support.edge_driver import (
    PORT,
    SERVER_PORT,
    SOCKETS_PORT,
    STATS_PORT,
    TLS_PORT,
    Edge,
    an_edge,
)
from tests.support.edge_load import APP, SOCKETS, Load, Servers
from tests.support.pems import Authority

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="the edge's HAProxy is started by root: run this as root"
)

OLDER = Path(__file__).parents[1] / "support" / "older_edge"
SERVED = {"web-0": "127.0.0.21", "web-1": "127.0.0.22"}
DOMAINS = (APP, SOCKETS, "closed.example.org")
USERS = f"userlist closed\n    user alice password $6$salt${'a' * 86}\n\n"


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def live(tmp_path: Path, authority: Authority) -> Path:
    for domain in DOMAINS:
        authority.issue(tmp_path / "live" / domain, domain)
    return tmp_path / "live"


@pytest.fixture
def servers() -> Iterator[Servers]:
    made = Servers(SERVER_PORT)
    with made.running(*SERVED.values()):
        yield made


@pytest.fixture
def older(
    live: Path,
    authority: Authority,
    servers: Servers,  # noqa: ARG001 - they have to be there
) -> Iterator[Edge]:
    """Yield an edge that serves as the older version left it."""
    with an_edge(Tls(port=TLS_PORT, folder=str(live)), authority.pem) as edge:
        with edge.instance.locked():
            _install(edge, live)
        yield edge


def _install(edge: Edge, live: Path) -> None:
    instance = edge.instance
    version = Version(instance.folder, "0123456789abcdef")
    places = {
        "@FILES@": version.files,
        "@FOLDER@": instance.folder,
        "@LIVE@": live,
        "@VERSION@": version.name,
        "@PORT@": PORT,
        "@TLS@": TLS_PORT,
        "@STATS@": STATS_PORT,
        "@SERVER@": SERVER_PORT,
        "@SOCKETS@": SOCKETS_PORT,
    }
    for path in OLDER.rglob("*"):
        if path.is_file():
            text = path.read_text()
            for mark, value in places.items():
                text = text.replace(mark, str(value))
            bundle.write_file(version.folder / path.relative_to(OLDER), text)
    for domain in DOMAINS:
        issued = Files.below(live / domain)
        pem = issued.fullchain.read_text() + issued.privkey.read_text()
        bundle.write_file(version.files / "certs" / f"{domain}.pem", pem)
    (instance.folder / bundle.FOLDER).symlink_to(version.files.relative_to(instance.folder))
    users.keep(instance.folder, USERS)
    chroot.make(instance.folder)
    instance.keep_program(archive(EDGE_AGENT))
    instance.forget_state()
    bundle.write_file(instance.live, text_of(version.config))
    instance.start()
    timer.start(instance)


def test_it_is_taken_over_and_loses_no_request(older: Edge, servers: Servers) -> None:
    older.ask("set server app/web-1 state drain")
    load = Load(older.entrance)
    clients = (
        *(edge_load.new_connections, edge_load.keep_alive, edge_load.slow_keep_alive),
        *(edge_load.posts, edge_load.http2, edge_load.long_websocket),
    )
    with load.running(*clients):
        before = older.worker()
        older.apply(SERVED)
        assert older.worker() != before
        assert older.state("web-1")[1] == 8, "forced to drain, as before"
        done = load.done.copy()
        assert poll(lambda: all(load.done[kind] > done[kind] + 5 for kind in done), 30)
    assert load.errors == []
    assert set(servers.ids().values()) == {1}, "each arrives once"
    files = bundle.read(older.instance.files)
    assert "facts.json" in files
    assert not {"tls.json", "users.json"} & files.keys()
    assert len(list((older.instance.folder / "versions").iterdir())) == 1
    assert list((older.instance.folder / "users").iterdir()) == []


def test_it_keeps_serving_and_renewing_when_the_first_update_fails(
    older: Edge, live: Path, authority: Authority
) -> None:
    older.ready_seconds = 0.1
    with pytest.raises(EdgeError, match="do not pass their health check"):
        older.apply({**SERVED, "web-2": "127.0.0.39"})
    assert older.get()[0] == 200
    folder, name = str(older.instance.folder), older.instance.name
    for domain in DOMAINS:
        authority.issue(live / domain, domain, ends=91)
    assert main(["renew", folder, name]) == 0
    for domain in DOMAINS:
        pem = older.instance.files / "certs" / f"{domain}.pem"
        assert (live / domain / "fullchain.pem").read_text() in pem.read_text()
    assert older.get()[0] == 200


def test_its_certificates_are_missed_when_nothing_names_them(
    older: Edge, capfd: pytest.CaptureFixture[str]
) -> None:
    (older.instance.files / "tls.json").unlink()
    assert main(["renew", str(older.instance.folder), older.instance.name]) == 1
    assert "which names the certificates, is missing or damaged" in capfd.readouterr().err
    assert older.get()[0] == 200


def test_it_goes_when_it_is_removed(older: Edge) -> None:
    folder = older.instance.folder
    assert main(["remove", str(folder), older.instance.name]) == 0
    assert not folder.exists()
    with pytest.raises(OSError, match="refused"):
        older.get()


def test_it_is_recognized_without_its_copy_of_the_edge_agent(older: Edge) -> None:
    older.instance.program.unlink()
    older.apply(SERVED)
    assert main(["remove", str(older.instance.folder), older.instance.name]) == 0
