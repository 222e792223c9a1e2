"""HTTPS at the edge on loopback, with the real HAProxy and real clients."""

import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.config.models.edge import Tls
from remote.archive import EDGE_AGENT, archive
from remote.edge_agent import control, status, timer, tls
from remote.edge_agent.__main__ import main
from remote.edge_agent.certificates import Files, read
from remote.edge_agent.renew import renew
from remote.edge_agent.seal import sealed
from remote.edge_agent.system import EdgeError, poll
from remote.shipping import archive_command
from tests.support import edge_load
from tests.support.edge_changes import ADDRESSES, lose_nothing
from tests.support.edge_driver import PORT, SERVER_PORT, STATS_PORT, TLS_PORT, Edge, an_edge
from tests.support.edge_load import APP, SOCKETS, Servers
from tests.support.pems import Authority

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="the edge's HAProxy is started by root: run this as root"
)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def live(tmp_path: Path, authority: Authority) -> Path:
    """A folder as `/etc/letsencrypt/live`, with a certificate for each of the domains."""
    for domain in (APP, SOCKETS):
        authority.issue(tmp_path / "live" / domain, domain)
    return tmp_path / "live"


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


def curl(*arguments: str) -> str:
    """Return what curl prints, of the edge under the names of the services."""
    places = [
        word
        for port in (PORT, TLS_PORT)
        for name in (APP, SOCKETS)
        for word in ("--resolve", f"{name}:{port}:127.0.0.1")
    ]
    command = ["curl", "--silent", "--show-error", "--insecure", *places, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def s_client(*arguments: str) -> str:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{TLS_PORT}", *arguments]
    done = subprocess.run(command, check=False, input="", capture_output=True, text=True)
    return done.stdout + done.stderr


def serial(name: str | None = APP) -> str:
    """Return the serial number of the certificate that a client gets."""
    sni = ("-servername", name) if name else ("-noservername",)
    shown = s_client(*sni)
    made = subprocess.run(
        ["openssl", "x509", "-noout", "-serial"], input=shown, capture_output=True, text=True
    )
    assert made.returncode == 0, shown
    return made.stdout


def test_a_hundred_changes_of_the_pool_lose_no_request(edge: Edge) -> None:
    lose_nothing(edge, Servers(SERVER_PORT))


def test_a_client_gets_the_certificate_of_the_name_that_it_asks_for(serving: Edge) -> None:
    assert f"subject=CN = {APP}" in s_client("-servername", APP)
    assert f"subject=CN = {SOCKETS}" in s_client("-servername", SOCKETS)
    assert f"subject=CN = {APP}" in s_client("-noservername"), "the first one's"
    assert f"subject=CN = {APP}" in s_client("-servername", "other.example.org")
    assert "Verification" in s_client("-servername", APP)
    assert serving.get()[0] == 200, "verified by the authority"


def offered() -> dict[str, bool]:
    """Return which of some ways to connect are accepted."""
    ways = {
        "tls1_1": ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
        "tls1_2": ("-tls1_2",),
        "tls1_3": ("-tls1_3",),
        "without forward secrecy": ("-tls1_2", "-cipher", "AES128-SHA256"),
        "cbc": ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"),
        "gcm": ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    }
    return {
        f"{way} {name}": "Cipher is (NONE)" not in s_client(*sni, *words)
        for way, words in ways.items()
        for name, sni in (("default", ("-noservername",)), ("sni", ("-servername", SOCKETS)))
    }


INTERMEDIATE = {
    f"{way} {name}": accepted
    for way, accepted in (
        ("tls1_1", False),
        ("tls1_2", True),
        ("tls1_3", True),
        ("without forward secrecy", False),
        ("cbc", False),
        ("gcm", True),
    )
    for name in ("default", "sni")
}


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


def test_a_tls_port_that_is_taken_is_told_by_its_key(edge: Edge, servers: Servers) -> None:  # noqa: ARG001
    with (
        socket.create_server(("127.0.0.1", TLS_PORT)),
        pytest.raises(EdgeError, match=rf"edge\.tls\.port {TLS_PORT}: Address already in use"),
    ):
        edge.apply({"web-0": ADDRESSES[0]})


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
