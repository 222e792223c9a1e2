"""The root folder of the edge's workers: one path in there and outside, and nothing else."""

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.edge_agent import chroot


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not pytest's own, whose path is too long for a socket's.
    with tempfile.TemporaryDirectory() as made:
        edge = Path(made) / "edge"
        edge.mkdir()
        chroot.make(edge)
        yield edge


def inside(folder: Path, name: str) -> Path:
    return Path(f"{folder}/chroot{folder}") / name


def listening(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    made.listen()
    return made


def test_its_folders_can_be_passed_and_no_more(folder: Path) -> None:
    ways = [folder / "chroot", *(each for each in (folder / "chroot").rglob("*"))]
    assert inside(folder, "next.sock").parent in ways
    assert {path.stat().st_mode & 0o777 for path in ways} == {0o711}
    assert {path.stat().st_uid for path in ways} == {os.geteuid()}
    (folder / "chroot").chmod(0o777)
    chroot.make(folder)
    assert (folder / "chroot").stat().st_mode & 0o777 == 0o711


def test_the_sockets_that_are_there_now_are_in_it_and_nothing_else(folder: Path) -> None:
    (folder / "haproxy.cfg").touch()
    (folder / "admin.sock").touch()
    path = inside(folder, "next.sock")
    for _ in range(2):  # HAProxy makes a new one when it starts
        (folder / "next.sock").unlink(missing_ok=True)
        with listening(folder / "next.sock"), socket.socket(socket.AF_UNIX) as client:
            for _ in range(2):
                chroot.link(folder)
            client.connect(str(path))
    assert list(path.parent.iterdir()) == [path]


def test_whether_workers_have_it_as_their_root(folder: Path) -> None:
    gone = 2**22 + 1  # above the highest number that Linux gives
    assert chroot.holds(folder, [gone])
    assert not chroot.holds(folder, [gone, os.getpid()])
