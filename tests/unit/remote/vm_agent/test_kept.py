"""What the agent keeps on a disk that is full."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.loopback.ports import free_ports
from remote.vm_agent import control, traefik_files
from tests.support.virtual import App, Docker, eventually

_SERVE = """
import sys
from pathlib import Path
from remote.vm_agent import daemon, docker, kept, polling
docker.SOCKET = sys.argv[1]
polling.POLL_SECONDS = kept.SAVE_SECONDS = 0.02
docker.last_lines = lambda container: ""
daemon.serve(Path(sys.argv[2]))
"""


class Small:
    """The real agent's process, with a file system for its folder that can be filled."""

    def __init__(self, tmp_path: Path) -> None:
        self._socket = tmp_path / "docker.sock"
        self.docker = Docker(self._socket)
        self._inside = tmp_path / "agent"
        self._inside.mkdir()
        mount = f"mount -t tmpfs -o size=128k,mode=700 small {self._inside} && echo && read end"
        self._port = free_ports(1)[0]
        self._holder = subprocess.Popen(
            ("unshare", "--mount", "sh", "-c", mount), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline()
        self.folder = Path(f"/proc/{self._holder.pid}/root{self._inside}")
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            (
                *("nsenter", "--mount", f"--target={self._holder.pid}", f"--wd={Path.cwd()}"),
                *(sys.executable, "-c", _SERVE, str(self._socket), str(self._inside)),
            )
        )
        eventually(self._answers)

    def _answers(self) -> bool:
        assert self.process.poll() is None, "it ended"
        with contextlib.suppress(OSError):
            return bool(self.ask("version"))
        return False

    def app(self, number: int) -> App:
        return App(self.docker, number, self._port)

    def ask(self, *words: str) -> str:
        return control.ask(self.folder, *words)

    def fill(self) -> None:
        """Leave no space at all."""
        with (
            (self.folder / "ballast").open("wb", buffering=0) as file,
            contextlib.suppress(OSError),
        ):
            for size in (4096, 1):
                while file.write(b"x" * size):
                    pass
        with pytest.raises(OSError, match="No space left"):
            (self.folder / "more").write_text("x")

    def empty(self) -> None:
        (self.folder / "ballast").unlink()

    def members(self) -> set[str]:
        with contextlib.suppress(OSError):
            return {each["id"] for each in json.loads((self.folder / "members.json").read_text())}
        return set()

    def shown(self) -> set[str]:
        """Return who is shown to Traefik."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.folder / "traefik" / "docker.sock"))
            connection.sendall(b"GET /containers/json HTTP/1.1\r\nConnection: close\r\n\r\n")
            with connection.makefile("rb") as answer:
                _, _, body = answer.read().partition(b"\r\n\r\n")
        return {each["Id"] for each in json.loads(body)}

    def costs(self) -> tuple[int, int]:
        """Return how many threads and descriptors the agent has."""
        process = Path(f"/proc/{self.process.pid}")
        return len(list((process / "task").iterdir())), len(list((process / "fd").iterdir()))

    def end(self) -> None:
        for each in (self.process, self._holder):
            each.kill()
            each.wait()


@pytest.fixture
def small() -> Iterator[Small]:
    if os.geteuid() != 0:
        pytest.skip("mounts a file system: run this as root")
    # Not pytest's own folder, whose path is too long for a socket's.
    with tempfile.TemporaryDirectory() as folder:
        made = Small(Path(folder))
        yield made
        made.end()
    for each in made.docker.containers.values():
        each.die()


def test_a_full_disk_costs_nothing_but_the_copy_on_it(small: Small) -> None:
    first, second, third = (small.app(number) for number in (1, 2, 3))
    small.ask("join", first.id, "60")
    small.ask("join", second.id, "60")
    small.fill()
    before = small.costs()
    for number in range(30):
        small.docker.inspections.clear()
        first.started_at = f"start {number}"
        small.docker.happens("start", first)
        eventually(lambda: small.docker.inspections[first.id] > 0)
    small.ask("join", third.id, "60")
    assert small.shown() == {first.id, second.id, third.id}
    small.ask("leave", second.id, "60")
    assert small.shown() == {first.id, third.id}
    # A thread and a descriptor for each start, as the process of this test never ends.
    eventually(lambda: small.costs() <= (before[0] + 40, before[1] + 40))
    small.empty()
    eventually(lambda: small.members() == {first.id, third.id})


def test_an_agent_that_ends_while_the_disk_is_full_knows_who_has_joined(small: Small) -> None:
    old, new = small.app(1), small.app(2)
    small.ask("join", old.id, "60")
    small.fill()
    small.ask("join", new.id, "60")
    small.ask("leave", old.id, "60")
    for _ in range(2):
        small.process.kill()
        small.process.wait()
        small.start()
        eventually(lambda: small.shown() == {new.id})
        new.healthy = False  # it served, so it is not asked at once
    small.empty()


def test_an_agent_starts_while_the_disk_is_full(small: Small) -> None:
    only = small.app(1)
    small.ask("join", only.id, "60")
    nowhere = small.folder / "traefik" / "nowhere.yml"
    nowhere.write_text("of an older agent")
    small.fill()
    small.process.kill()
    small.process.wait()
    small.start()
    eventually(lambda: small.shown() == {only.id})
    assert nowhere.read_text() == "of an older agent"
    small.empty()
    eventually(lambda: nowhere.read_text().startswith(traefik_files.NOWHERE))
