"""What a file of the agent says when its new content could not be saved, or was in part."""

import errno
import json
import os
from pathlib import Path

import pytest

from remote.vm_agent import kept, traefik_api, traefik_files
from remote.vm_agent.daemon import traefik_folder
from remote.vm_agent.images import Images
from remote.vm_agent.members import Members

IDS = [f"{number:064x}" for number in range(100)]


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a disk without space or without inodes: no file can be made."""

    def fails(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(kept, "write", fails)


def kept_members(file: Path) -> list[str]:
    return [each["id"] for each in json.loads(file.read_text())]


def test_what_needs_no_more_space_is_saved(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    file = tmp_path / "members.json"
    members = Members(file)
    for each in IDS[:3]:
        members.put(each, "now")
    request.getfixturevalue("full")
    members.put(IDS[3], None)
    assert kept_members(file) == IDS[:4]
    for each in IDS[:3]:
        members.remove(each)
    assert kept_members(file) == [IDS[3]]
    again = Members(file)
    assert again.known
    assert [each.id for each in again] == [IDS[3]]


def test_an_old_file_of_members_is_not_believed(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    file = tmp_path / "members.json"
    members = Members(file)
    members.put(IDS[0], "now")
    request.getfixturevalue("full")
    for each in IDS[1:]:
        members.put(each, "now")
    members.remove(IDS[0])
    again = Members(file)
    assert not again.known, "so Traefik is asked"
    assert list(again) == []


def test_an_old_file_of_images_is_better_than_none(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    file = tmp_path / "images.json"
    images = Images(file)
    images._note({"app": IDS[0]}, set())
    before = file.read_text()
    request.getfixturevalue("full")
    images._note({}, set(IDS[1:]))
    assert file.read_text() == before


@pytest.mark.parametrize("done", range(4))
def test_a_file_that_was_being_written_over_is_not_believed(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    file = tmp_path / "members.json"
    members = Members(file)
    for each in IDS[:4]:
        members.put(each, "now")
    request.getfixturevalue("full")
    write, left = os.pwrite, iter(range(done))

    def killed(*words: object) -> int:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return write(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "pwrite", killed)
    if done < 3:
        with pytest.raises(KeyboardInterrupt):
            members.remove(IDS[0])
    else:
        members.remove(IDS[0])
    assert Members(file).known == (done == 3)


OBSTACLES = ["folder", "full folder", "dangling", "loop", "text"]


def obstruct(path: Path, how: str) -> None:
    """Have something else than a good file."""
    if path.is_file():
        path.unlink()
    if how == "text":
        path.write_bytes(b"\xff\xfe")
    elif how in ("dangling", "loop"):
        path.symlink_to(path if how == "loop" else path.with_name("nowhere"))
    else:
        path.mkdir()
        if how == "full folder":
            (path / "x").write_text("x")


@pytest.mark.parametrize("how", OBSTACLES)
@pytest.mark.parametrize(
    "name",
    ["token", "token.part", "pair.json", "pair.json.part", "traefik/users", "traefik/nowhere.yml"],
)
def test_what_is_in_the_way_of_traefiks_files_is_moved(tmp_path: Path, name: str, how: str) -> None:
    (tmp_path / "traefik").mkdir()
    traefik_files.write_files(tmp_path)
    if name == "pair.json.part":
        (tmp_path / "pair.json").unlink()
    if name == "token.part":
        (tmp_path / "token").unlink()
    obstruct(tmp_path / name, how)
    traefik_files.write_files(tmp_path)
    assert (tmp_path / "traefik" / "users").read_text() == traefik_files._users(tmp_path)
    assert "-----BEGIN" in (tmp_path / "traefik" / "nowhere.yml").read_text()
    assert "Basic" in traefik_api.login(tmp_path)["Authorization"]
    assert "BEGIN PRIVATE KEY" in (tmp_path / "pair.json").read_text()


@pytest.mark.parametrize("how", OBSTACLES)
@pytest.mark.parametrize("name", ["members.json", "members.json.part", "members.unreadable"])
def test_what_is_in_the_way_of_the_agents_own_files_is_moved(
    tmp_path: Path, name: str, how: str
) -> None:
    (tmp_path / "members.unreadable").write_text("of before")
    obstruct(tmp_path / name, how)
    members = Members(tmp_path / "members.json")
    assert not members.known
    members.put(IDS[0], "now")
    assert kept_members(tmp_path / "members.json") == [IDS[0]]


@pytest.mark.parametrize("how", OBSTACLES)
def test_traefiks_folder_is_made_whatever_is_there(tmp_path: Path, how: str) -> None:
    obstruct(tmp_path / "traefik", how)
    assert traefik_folder(tmp_path).is_dir()


def test_one_file_of_traefik_does_not_wait_for_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "traefik").mkdir()

    def fails(_: Path) -> str:
        raise OSError

    for name, other in (("_users", "nowhere.yml"), ("_rules", "users")):
        with monkeypatch.context() as patched:
            patched.setattr(traefik_files, name, fails)
            with pytest.raises(OSError):  # noqa: PT011 - of any kind
                traefik_files.write_files(tmp_path)
        assert (tmp_path / "traefik" / other).exists()


def test_without_a_password_that_can_be_kept_the_agent_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(traefik_api, "write", lambda *_, **__: (_ for _ in ()).throw(OSError()))
        assert traefik_api.login(tmp_path) == {}
    assert "Authorization" in traefik_api.login(tmp_path)
