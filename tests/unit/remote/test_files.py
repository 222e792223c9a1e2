"""Files that are replaced whole, as each program that runs elsewhere does."""

import ast
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from remote.archive import PROGRAMS, archive
from remote.files import part_of, staged, write_whole
from remote.vm_agent.members import Members
from tests.support.program import PROJECT

# At import, when no other thread runs: Python 3.11 fails to parse in two at once.
TREES = {path: ast.parse(path.read_text()) for path in (PROJECT / "remote").rglob("*.py")}


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """Return what was synced to the disk: the name, and what its folder had just then."""
    found: list[tuple[str, list[str]]] = []
    sync = os.fsync

    def recorded(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        folder = path if path.is_dir() else path.parent
        found.append((path.name, sorted(each.name for each in folder.iterdir())))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", recorded)
    return found


def test_a_file_is_on_the_disk_before_it_is_in_place_and_its_name_after(
    tmp_path: Path, synced: list[tuple[str, list[str]]]
) -> None:
    with staged({tmp_path / "a": "1", tmp_path / "b": b"2"}):
        assert synced == [("a.part", ["a.part"]), ("b.part", ["a.part", "b.part"])]
    assert synced[2:] == [(tmp_path.name, ["a", "b"])]
    write_whole(tmp_path / "c", "3", durable=False)
    assert len(synced) == 3
    assert [(tmp_path / each).read_text() for each in "abc"] == ["1", "2", "3"]


def test_a_container_that_has_joined_outlives_a_power_failure(
    tmp_path: Path, synced: list[tuple[str, list[str]]]
) -> None:
    Members(tmp_path / "members.json").put("a" * 64, "now")
    assert synced == [
        ("members.json.part", ["members.json.part"]),
        (tmp_path.name, ["members.json"]),
    ]


def fails_in_the_body(file: Path) -> None:
    with staged({file: "after"}):
        raise KeyboardInterrupt


def cannot_be_written(file: Path) -> None:
    write_whole(file, "\ud800")


def has_a_folder_in_the_way(file: Path) -> None:
    part_of(file).mkdir()
    write_whole(file, "after")


@pytest.mark.parametrize("fail", [fails_in_the_body, cannot_be_written, has_a_folder_in_the_way])
def test_a_failure_leaves_the_file_before(tmp_path: Path, fail: Callable[[Path], None]) -> None:
    file = tmp_path / "agent.py"
    file.write_text("before")
    with pytest.raises((KeyboardInterrupt, UnicodeEncodeError, IsADirectoryError)):
        fail(file)
    assert file.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["agent.py"]


def test_a_full_disk_is_reported_by_the_path() -> None:
    with pytest.raises(OSError, match=r"/dev/full/agent\.py\.part"):
        write_whole(Path("/dev/full/agent.py"), "after")


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("others'")
    part_of(tmp_path / "file").symlink_to(other)
    write_whole(tmp_path / "file", "ours")
    assert (other.read_text(), (tmp_path / "file").read_text()) == ("others'", "ours")


def test_mode_and_owner_stay_unless_a_mode_is_given(tmp_path: Path) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    old.touch()
    old.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(old, 65534, 65533)
    before = old.stat()
    umask = os.umask(0o027)
    try:
        write_whole(old, "text")
        write_whole(new, "text")
        write_whole(tmp_path / "given", "text", mode=0o644)
    finally:
        os.umask(umask)
    after = old.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        *(before.st_mode, before.st_uid, before.st_gid),
    )
    modes = [stat.S_IMODE((tmp_path / each).stat().st_mode) for each in ("new", "given")]
    assert modes == [0o640, 0o644]


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_brings_it_along(program: str, tmp_path: Path) -> None:
    packed, file = tmp_path / "program.pyz", tmp_path / "file"
    packed.write_bytes(archive(program))
    script = (
        f"import sys; sys.path.insert(0, {str(packed)!r}); from pathlib import Path;"
        f"from remote.files import write_whole; write_whole(Path({str(file)!r}), 'text')"
    )
    subprocess.run((sys.executable, "-I", "-S", "-c", script), check=True, cwd=tmp_path, env={})
    assert file.read_text() == "text"


def test_no_other_module_replaces_a_file_by_itself() -> None:
    found = {
        path.name
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("replace", "rename")
        and len(node.args) == 1
    }
    # A socket's link, a symbolic link, and files that are moved aside.
    moved = {"certbot.py", "chroot.py", "versions.py", "kept.py", "install.py", "logfile.py"}
    assert found == {"files.py", *moved}
