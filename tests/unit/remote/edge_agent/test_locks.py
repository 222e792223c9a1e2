"""The locks of the edge agent are files of any kind, and nothing is lost in them."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from remote.edge_agent import chroot, install
from remote.edge_agent.instance import Instance


def _run(folder: Path) -> None:
    with Instance(str(folder), "test").locked():
        pass


def _link(folder: Path) -> None:
    with contextlib.suppress(OSError):  # there are no sockets
        chroot.link(folder)


def _install(folder: Path) -> None:
    with install.installing(folder / "policy", folder / "backup", folder / "install.lock"):
        pass


@pytest.mark.parametrize(
    ("lock", "take"),
    [("lock", _run), ("chroot.lock", _link), ("install.lock", _install)],
)
def test_a_lock_that_is_a_symlink_empties_nothing(
    lock: str, take: Callable[[Path], None], tmp_path: Path
) -> None:
    folder, other = tmp_path / "edge", tmp_path / "other"
    folder.mkdir()
    other.write_text("somebody's")
    (folder / lock).symlink_to(other)
    take(folder)
    assert other.read_text() == "somebody's"


def test_a_run_that_was_killed_leaves_nothing_and_other_names_stay(tmp_path: Path) -> None:
    edge = tmp_path / "edge"
    key = edge / "self-signed" / "shop.part" / "privkey.pem"
    key.parent.mkdir(parents=True)
    key.touch()
    for unfinished in (edge / "haproxy.cfg.part", key.with_suffix(".part")):
        unfinished.touch()
    _run(edge)
    assert [each for each in edge.rglob("*.p*") if each.is_file()] == [key]
