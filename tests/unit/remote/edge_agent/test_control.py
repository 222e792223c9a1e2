"""What HAProxy says and does not say, with a socket of our own in its place."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.edge_agent import challenges, control, logfile, upgraded
from remote.edge_agent.certificates import fingerprint
from remote.edge_agent.control import NoAnswerError, ask
from remote.edge_agent.instance import Instance
from remote.edge_agent.system import EdgeError, poll
from tests.support.pems import Authority


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not pytest's own, whose path is too long for a socket's.
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


@contextlib.contextmanager
def master(folder: Path, answer: bytes | None) -> Iterator[list[str]]:
    """Answer each question with this, or take it and say nothing; yield the questions."""
    asked: list[str] = []
    done = threading.Event()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "master.sock"))
        listening.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        given = b""
                        while data := connection.recv(65536):
                            given += data
                        asked.append(given.decode())
                        if answer is None:
                            done.wait()
                        else:
                            connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield asked
        done.set()
        listening.shutdown(socket.SHUT_RDWR)


def test_nothing_that_listens_is_none_and_no_answer_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "master.sock"
    monkeypatch.setattr(control, "SECONDS", 0.2)
    assert ask(path, "show proc") is None, "no socket"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
        assert ask(path, "show proc") is None, "nobody listens"
    path.unlink()
    with (
        master(folder, None),
        pytest.raises(NoAnswerError, match=r"does not answer `show proc` on .*master\.sock within"),
    ):
        ask(path, "show proc")


@pytest.mark.parametrize(
    "question",
    [
        Instance.worker,
        Instance.settled,
        Instance.workers,
        lambda edge: edge.save_state((), ()),
        lambda edge: challenges.answer(edge, {"CERTBOT_TOKEN": "a", "CERTBOT_VALIDATION": "a.b"}),
    ],
    ids=["worker", "settled", "workers", "save_state", "challenge"],
)
def test_no_answer_is_never_taken_for_an_edge_that_does_not_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, question: object
) -> None:
    monkeypatch.setattr(control, "SECONDS", 0.2)
    with master(folder, None), pytest.raises(NoAnswerError):
        question(Instance(str(folder), "test"))  # type: ignore[operator]


def test_a_challenge_is_answered_by_the_map_of_the_worker(folder: Path) -> None:
    given = {"CERTBOT_TOKEN": "to_K-1", "CERTBOT_VALIDATION": "to_K-1.thumb_Print-1"}
    with master(folder, b"\n") as asked:
        challenges.answer(Instance(str(folder), "test"), given)
    assert asked[-1] == (
        f"@1 add map {folder}/files/challenges.map /.well-known/acme-challenge/to_K-1"
        " to_K-1.thumb_Print-1\n"
    )


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"CERTBOT_TOKEN": "a", "CERTBOT_VALIDATION": ""},
        {"CERTBOT_TOKEN": "a b", "CERTBOT_VALIDATION": "a b.c"},
        {"CERTBOT_TOKEN": "a", "CERTBOT_VALIDATION": "a.b\nshutdown sessions"},
        {"CERTBOT_TOKEN": "a", "CERTBOT_VALIDATION": "b.c"},
    ],
)
def test_what_is_no_answer_to_a_challenge_is_not_sent(folder: Path, given: dict[str, str]) -> None:
    with master(folder, b"\n") as asked, pytest.raises(EdgeError, match="only certbot runs this"):
        challenges.answer(Instance(str(folder), "test"), given)
    assert asked == []


def test_an_answer_that_haproxy_does_not_take_is_an_error(folder: Path) -> None:
    given = {"CERTBOT_TOKEN": "a", "CERTBOT_VALIDATION": "a.b"}
    with (
        master(folder, b"Unknown map identifier.\n"),
        pytest.raises(EdgeError, match="Unknown map"),
    ):
        challenges.answer(Instance(str(folder), "test"), given)


def test_the_fingerprint_is_that_of_openssl(tmp_path: Path) -> None:
    made = Authority().issue(tmp_path, "a.example.org") / "fullchain.pem"
    command = ("openssl", "x509", "-noout", "-fingerprint", "-sha1", "-in", str(made))
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert fingerprint(made.read_text()) == told.strip().partition("=")[2].replace(":", "")


def test_haproxys_messages_are_kept_small(tmp_path: Path) -> None:
    messages, log = tmp_path / "haproxy.log", tmp_path / "access.log"
    line = b"[WARNING] Server app/web-0 is DOWN\n"
    with messages.open("ab") as shell:  # as the loop has it
        for number in range(200_000):
            shell.write(line if number < 199_999 else b"the last one\n")
        shell.flush()
        assert messages.stat().st_size > 2**20
        logfile.write([b""], log, messages)
        assert messages.stat().st_size <= 2**17
        shell.write(b"one more\n")
        shell.flush()
    assert messages.read_bytes().endswith(b"\nthe last one\none more\n")
    assert messages.read_bytes().startswith(line)
    assert not log.exists(), "there was no request"


def test_messages_are_looked_at_also_where_there_are_no_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logfile, "_IDLE_SECONDS", 0.01)
    reading, writing = os.pipe()
    lines = logfile.blocks(reading)
    late = threading.Timer(20, os.write, (writing, b"late\n"))
    late.start()
    assert next(lines) == b"", "without anything to read"
    late.cancel()
    os.write(writing, b"one\n")
    assert next(line for line in lines if line) == b"one\n"
    os.close(writing)
    assert [line for line in lines if line] == []
    os.close(reading)


def test_a_burst_of_requests_finds_room_while_the_reader_is_busy() -> None:
    reading, writing = os.pipe2(os.O_NONBLOCK)
    lines = logfile.blocks(reading)
    os.write(writing, b"first\n")
    assert next(lines) == b"first\n"
    burst = [f"{number:299}\n".encode() for number in range(3_000)]
    assert [os.write(writing, line) for line in burst] == [300] * 3_000
    os.close(writing)
    assert b"".join(lines) == b"".join(burst)
    os.close(reading)


MAPS = "7f0000000000-7f0000001000 {rights} 00000000 08:01 123456 {space}{path}\n"


@pytest.mark.parametrize(
    ("rights", "path", "outdated"),
    [
        ("r-xp", "/usr/lib/x86_64-linux-gnu/libssl.so.3", False),
        ("r-xp", "/usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)", True),
        ("r-xp", "/usr/sbin/haproxy (deleted)", True),
        ("r--p", "/usr/share/zoneinfo/UTC (deleted)", False),
        ("rw-s", "/dev/zero (deleted)", False),
        ("rwxp", "/memfd:jit (deleted)", False),
        ("r-xp", "", False),
    ],
)
def test_what_is_run_and_was_replaced_is_found(
    tmp_path: Path, rights: str, path: str, outdated: bool
) -> None:
    (tmp_path / "7").mkdir()
    text = MAPS.format(rights=rights, path=path, space=" " * 20)
    (tmp_path / "7" / "maps").write_text(MAPS.format(rights="r--p", path="/a", space="") + text)
    assert upgraded.is_outdated(7, tmp_path) == outdated


def test_a_program_that_was_replaced_while_it_runs_is_found(tmp_path: Path) -> None:
    program = tmp_path / "sleep"
    shutil.copy(shutil.which("sleep") or "", program)
    with subprocess.Popen((program, "60")) as process:
        try:
            # The program is mapped a moment after it has been started.
            maps = Path(f"/proc/{process.pid}/maps")
            assert poll(lambda: re.search(f"r-xp .*{program}", maps.read_text()) is not None, 30)
            assert not upgraded.is_outdated(process.pid)
            new = tmp_path / "new"
            shutil.copy(program, new)
            new.replace(program)
            assert upgraded.is_outdated(process.pid)
        finally:
            process.kill()
    assert not upgraded.is_outdated(process.pid), "it has ended"
    assert not upgraded.is_outdated(os.getpid()) or "(deleted)" in sys.executable
