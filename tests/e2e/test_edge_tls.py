"""HTTPS at the edge on loopback, with the real HAProxy and real clients."""

import contextlib
import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.config.models.edge import Tls
from remote.archive import EDGE_AGENT, archive
from remote.edge_agent import timer
from remote.edge_agent.renew import renew
from remote.edge_agent.seal import sealed
from remote.edge_agent.system import EdgeError
from remote.shipping import archive_command
from tests.support import edge_load
from tests.support.edge_changes import ADDRESSES, lose_nothing
from tests.support.edge_driver import PORT, SERVER_PORT, TLS_PORT, Edge, an_edge
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


def test_a_hundred_changes_of_the_pool_lose_no_request(edge: Edge) -> None:
    lose_nothing(edge, Servers(SERVER_PORT))


def test_a_client_gets_the_certificate_of_the_name_that_it_asks_for(serving: Edge) -> None:
    assert f"subject=CN = {APP}" in s_client("-servername", APP)
    assert f"subject=CN = {SOCKETS}" in s_client("-servername", SOCKETS)
    assert f"subject=CN = {APP}" in s_client("-noservername"), "the first one's"
    assert f"subject=CN = {APP}" in s_client("-servername", "other.example.org")
    assert "Verification" in s_client("-servername", APP)
    assert serving.get()[0] == 200, "verified by the authority"


def test_only_what_the_profile_has_is_spoken(serving: Edge) -> None:  # noqa: ARG001
    assert offered() == INTERMEDIATE
    assert "TLS session ticket:" not in s_client("-tls1_2")


def test_many_streams_of_http_2_at_once(serving: Edge) -> None:  # noqa: ARG001
    command = ["h2load", "-n", "2000", "-c", "10", "-m", "20", "--header", "X-Id: 0-a"]
    place = f"--connect-to=127.0.0.1:{TLS_PORT}"
    done = subprocess.run(
        [*command, place, f"https://{APP}/"], check=True, capture_output=True, text=True
    )
    assert "Application protocol: h2" in done.stdout
    assert "2000 succeeded, 0 failed, 0 errored, 0 timeout" in done.stdout, done.stdout


def test_http_2_is_spoken_and_browsers_are_told_to_stay_with_https(serving: Edge) -> None:  # noqa: ARG001
    url = f"https://{APP}:{TLS_PORT}/"
    answer = curl("--http2", "--include", "-H", "X-Id: 0-a", url)
    assert answer.startswith("HTTP/2 200")
    assert "strict-transport-security: max-age=63072000\n" in answer.replace("\r", "")
    nowhere = curl("--include", "-H", "Host: nowhere.example.org", url).replace("\r", "")
    assert "strict-transport-security: max-age=63072000\n" in nowhere, "whoever answers"


def test_plain_http_only_redirects(serving: Edge) -> None:  # noqa: ARG001
    there = f"https://{APP}:{TLS_PORT}/a/b?c=d&e=%20f"
    url = f"http://{APP}:{PORT}/a/b?c=d&e=%20f"
    written = ("--output", "/dev/null", "--write-out", "%{http_code} %{redirect_url}")
    assert curl(*written, url) == f"301 {there}"
    assert curl(*written, "--head", url) == f"301 {there}"
    assert curl(*written, "--data", "x=y", url) == f"308 {there}"
    assert curl(*written, "--request", "DELETE", url) == f"308 {there}"
    with socket.create_connection(("127.0.0.1", PORT), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b" 400 " in connection.recv(65536)


def test_nobody_but_root_reads_the_keys(serving: Edge) -> None:
    kept = list((serving.instance.files / "certs").iterdir())
    assert {path.name for path in kept} == {f"{APP}.pem", f"{SOCKETS}.pem"}
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}


def test_a_certificate_that_is_wrong_leaves_the_old_edge(
    serving: Edge, live: Path, authority: Authority
) -> None:
    before = serial()
    authority.issue(live / APP, APP, begins=-90, ends=-1)
    with pytest.raises(EdgeError, match=f"has no valid certificate for {APP}: .* expired on"):
        serving.apply({"web-0": ADDRESSES[1]})
    assert serial() == before
    assert serving.get() == (200, ADDRESSES[0])


def test_an_edge_on_another_machine_judges_its_certificates_there(
    serving: Edge, live: Path, authority: Authority
) -> None:
    def sent(servers: dict[str, str]) -> subprocess.CompletedProcess[str]:
        arguments = ("apply", str(serving.instance.folder), serving.instance.name, "10")
        command = archive_command(archive(EDGE_AGENT), *arguments)
        return subprocess.run(
            ["/bin/sh", "-c", command],
            input=sealed(serving.text(servers)),
            capture_output=True,
            text=True,
        )

    before = serial()
    (live / APP / "privkey.pem").write_text((live / SOCKETS / "privkey.pem").read_text())
    refused = sent({"web-0": ADDRESSES[1]})
    assert refused.returncode == 1
    assert f"privkey.pem is not the key of {live / APP / 'fullchain.pem'}" in refused.stderr
    assert serial() == before
    assert serving.get() == (200, ADDRESSES[0])
    authority.issue(live / APP, APP)
    assert sent({"web-0": ADDRESSES[1]}).returncode == 0
    assert serial() != before
    assert serving.get() == (200, ADDRESSES[1])
    authority.issue(live / APP, APP)
    python, *rest = timer.command(serving.instance)
    renewed = subprocess.run([python, *rest], capture_output=True, text=True)
    assert renewed.stdout == f"certificate loaded for {APP} from {live / APP}/fullchain.pem\n"


def test_a_tls_port_that_is_taken_is_told_by_its_key(edge: Edge, servers: Servers) -> None:  # noqa: ARG001
    with (
        socket.create_server(("127.0.0.1", TLS_PORT)),
        pytest.raises(EdgeError, match=rf"edge\.tls\.port {TLS_PORT}: Address already in use"),
    ):
        edge.apply({"web-0": ADDRESSES[0]})


def test_self_signed_certificates_stay_over_changes(tmp_path: Path, servers: Servers) -> None:  # noqa: ARG001
    with an_edge(Tls(port=TLS_PORT, self_signed=True)) as edge:
        edge.apply({"web-0": ADDRESSES[0]})
        before = serial()
        edge.apply({"web-0": ADDRESSES[1]})
        assert serial() == before
        assert renew(edge.instance).taken_up == ()
        shown = s_client("-servername", APP)
        assert "subject=O = Gatehouse, CN = self-signed" in shown
        (tmp_path / "ca.pem").write_text((edge.instance.files / "certs" / f"{APP}.pem").read_text())
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        with (
            socket.create_connection(("127.0.0.1", TLS_PORT), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=APP) as connection,
        ):
            assert connection.version() == "TLSv1.3"


def test_tls_is_turned_on_and_off_under_connections_that_stay(
    live: Path,
    authority: Authority,
    servers: Servers,  # noqa: ARG001
) -> None:
    secure = Tls(port=TLS_PORT, folder=str(live))
    with an_edge(secure, authority.pem) as edge:
        plain_config = edge.config.model_copy(update={"tls": None})
        tls_config = edge.config
        edge.config = plain_config
        edge.apply({"web-0": ADDRESSES[0]})
        with contextlib.closing(edge.plain.http()) as old:
            assert edge_load.exchange(old) == (200, ADDRESSES[0])
            edge.config = tls_config
            edge.apply({"web-0": ADDRESSES[1]})
            assert edge_load.exchange(old) == (200, ADDRESSES[1])
        with contextlib.closing(edge.entrance.http()) as old:
            assert edge_load.exchange(old) == (200, ADDRESSES[1])
            edge.config = plain_config
            edge.apply({"web-0": ADDRESSES[2]})
            assert edge_load.exchange(old) == (200, ADDRESSES[2])
        assert not (edge.instance.files / "certs").exists()
