"""Files of an edge that are damaged, lost, or not its own, and what the edge's script does."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from remote.archive import EDGE_AGENT, archive
from tests.support.edge_script import Edge, an_edge, guarded, hashed, server

pytestmark = [
    pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed here"),
    pytest.mark.skipif(os.geteuid() != 0, reason="the edge's HAProxy is started by root"),
]


@pytest.fixture
def edge() -> Iterator[Edge]:
    with an_edge() as made:
        yield made


def damaged_live(folder: Path) -> None:
    (folder / "haproxy.cfg").write_bytes(b"\xff\xfe\0")


def damaged_version(folder: Path) -> None:
    for path in (folder / "versions").rglob("haproxy.cfg"):
        path.write_bytes(b"global\n\xff\xfe\0")


def damaged_files(folder: Path) -> None:
    for path in (folder / "versions").rglob("*.map"):
        path.write_bytes(b"\xff\xfe\0")


def no_versions(folder: Path) -> None:
    shutil.rmtree(folder / "versions")


def no_keeper(folder: Path) -> None:
    (folder / "keeper.pyz").unlink()


def all_configs(folder: Path) -> None:
    damaged_live(folder)
    damaged_version(folder)


def no_keeper_nor_versions(folder: Path) -> None:
    no_keeper(folder)
    no_versions(folder)


def no_keeper_nor_live(folder: Path) -> None:
    no_keeper(folder)
    (folder / "haproxy.cfg").write_text("")


def only_empty_files(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.write_text("")


@pytest.mark.parametrize(
    "damage",
    [
        *(damaged_live, damaged_version, damaged_files, no_versions, no_keeper, all_configs),
        *(no_keeper_nor_versions, no_keeper_nor_live, only_empty_files),
    ],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("same", [True, False], ids=["same", "changed"])
def test_what_was_damaged_is_replaced_by_the_next_update(
    edge: Edge, damage: Callable[[Path], None], same: bool
) -> None:
    with server() as first, server() as second:
        edge.run("apply", edge.text(first))
        damage(edge.folder)
        assert edge.run("renew").returncode == 0, "which runs every hour"
        assert edge.get() == (200, first.split(":")[1])
        wanted = first if same else second
        result = edge.run("apply", edge.text(wanted))
        assert result.returncode == 0, result.stderr
        assert edge.get() == (200, wanted.split(":")[1])
        assert edge.live() == edge.text(wanted)


def test_an_edge_that_lost_the_keepers_copy_is_removed(edge: Edge) -> None:
    with server() as backend:
        assert edge.run("apply", edge.text(backend)).returncode == 0
        no_keeper(edge.folder)
        removed = edge.run("remove")
    assert removed.returncode == 0, removed.stderr
    assert not edge.folder.exists()


def test_files_that_may_be_of_an_edge_are_left_alone_until_somebody_says_so(edge: Edge) -> None:
    with server() as backend:
        edge.folder.mkdir()
        (edge.folder / "access.log").write_text("{}\n")
        refused = edge.run("apply", edge.text(backend))
        assert "edge.folder: contains files that are not the edge's" in refused.stderr
        said = re.search(r"`(touch \S+)`", refused.stderr)
        assert said is not None
        assert not (edge.folder / "lock").exists()
        subprocess.run(said[1].split(), check=True)
        assert edge.run("apply", edge.text(backend)).returncode == 0
        assert edge.get()[0] == 200


def test_damaged_users_are_not_let_into_force(edge: Edge) -> None:
    one = f"userlist app\n    user alice password {hashed('a')}"
    with server() as backend:
        assert edge.run("users", one).returncode == 0
        (kept,) = (edge.folder / "users").iterdir()
        for damage in (one.encode().replace(b"alice", b"\xffalice"), one[:-1].encode(), b""):
            kept.write_bytes(damage)
            refused = edge.run("apply", guarded(edge, backend, one))
            assert refused.returncode == 1
            assert "is damaged); run `pulumi up --replace '**edge-users'`" in refused.stderr
        assert edge.run("users", one).returncode == 0
        assert edge.run("apply", guarded(edge, backend, one)).returncode == 0


def test_a_copy_of_the_edge_agent_stays_with_the_edge(edge: Edge) -> None:
    with server() as backend:
        edge.run("apply", edge.text(backend))
    assert (edge.folder / "keeper.pyz").read_bytes() == archive(EDGE_AGENT)
    removed = subprocess.run(
        [sys.executable, edge.folder / "keeper.pyz", "remove", edge.folder, "test"], check=False
    )
    assert removed.returncode == 0
    assert not edge.folder.exists()


@pytest.mark.parametrize("action", ["remove", "renew"])
def test_another_name_for_an_edge_that_serves_is_refused(edge: Edge, action: str) -> None:
    with server() as backend:
        edge.run("apply", edge.text(backend))
        refused = subprocess.run(
            [sys.executable, edge.folder / "keeper.pyz", action, edge.folder, "prod"],
            check=False,
            capture_output=True,
            text=True,
        )
        assert refused.returncode == 1
        assert f"{edge.folder} is the folder of the edge test" in refused.stderr
        assert edge.get()[0] == 200
