"""The way to an edge that is not on the lab's own machine."""

import shlex
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from lab.edge_access import EdgeHost, run

PROCESSES = """#<PID>          <type>          <reloads>       <uptime>        <version>
300             master          2               0d00h00m10s     2.6.12
# workers
312             worker          0               0d00h00m05s     2.6.12
# old workers
305             worker          1               0d00h00m09s     2.6.12
"""


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[Path]:
    """Answer on sockets as HAProxy does, with what was asked in it."""
    folder = tmp_path / "var/lib/gatehouse/lab"
    folder.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "master.sock"))
        (folder / "admin.sock").symlink_to(folder / "master.sock")
        listening.listen()

        def serve() -> None:
            for _ in range(2):
                connection, _ = listening.accept()
                with connection:
                    asked = connection.recv(100).decode()
                    answer = PROCESSES if asked == "show proc\n" else f"asked {asked}"
                    connection.sendall(answer.encode())

        threading.Thread(target=serve, daemon=True).start()
        yield tmp_path


def test_one_in_the_lab_is_asked_by_its_socket(answering: Path) -> None:
    edge = EdgeHost.of("lab", {"edge": {"address": "198.18.0.1:80"}}, root=answering)
    assert edge.ask("show stat") == "asked show stat\n"
    assert edge.process("worker") == "312"


def test_one_elsewhere_is_asked_by_what_the_outputs_tell(answering: Path) -> None:
    entered = []

    def enter(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        *ssh, command = argv
        entered.append(ssh)
        # What sshd does with it, where the edge's folder is another one.
        shell = command.replace("/var/lib/gatehouse/", f"{answering}/var/lib/gatehouse/")
        return run(("sh", "-c", shell))

    outputs = {"edge": {"address": "10.90.0.254:80", "ssh": "ssh -o 'A B=c' me@there sudo"}}
    edge = EdgeHost.of("lab", outputs, run=enter)
    assert edge.ask("show stat") == "asked show stat\n"
    assert edge.process("master") == "300"
    assert entered == [shlex.split("ssh -o 'A B=c' me@there sudo")] * 2


def test_one_that_does_not_answer_says_nothing(tmp_path: Path) -> None:
    def enter(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(argv, 255, "", "no route to host")

    there = EdgeHost(stack="lab", ssh="ssh me@there", run=enter)
    assert there.ask("show stat") is None
    assert there.process("master") is None
    assert not there.reload()
    assert EdgeHost(stack="lab", ssh="", root=tmp_path).ask("show stat") is None
