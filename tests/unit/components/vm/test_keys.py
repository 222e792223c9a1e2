"""A stack's SSH keys: who gets to see the private half."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.vm.keys import _GENERATE, split_key_pair
from controller.key_files import key_folder, write_private
from remote.files import part_of


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own_and_careless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_files_are_for_this_user_only_and_so_are_their_folders() -> None:
    path = key_folder("prod") / "id_ed25519"
    for content in (b"one", b"another"):
        assert write_private(path, content) == ".gatehouse/prod/id_ed25519"
        assert (path.read_bytes(), mode(path)) == (content, 0o600)
    assert (mode(path.parent), mode(path.parent.parent)) == (0o700, 0o700)
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_was_open_is_closed_and_an_open_file_is_another_afterwards() -> None:
    path = key_folder("prod") / "id_ed25519"
    path.parent.mkdir(parents=True)
    path.touch(0o666)
    elsewhere = Path("elsewhere")
    elsewhere.touch(0o666)
    part_of(path).symlink_to(elsewhere.absolute())
    with path.open() as before:
        write_private(path, b"secret")
        assert before.read() == ""
    assert elsewhere.read_text() == ""
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)


def test_a_pair_is_made_without_a_trace_and_in_no_processs_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "ssh-keygen").write_text(
        '#!/bin/sh\nfor last; do :; done\necho "$*" >"$STATE/asked"\n'
        'stat -c %a "$(dirname "$last")" >"$STATE/mode"\nexec /usr/bin/ssh-keygen "$@"\n'
    )
    (programs / "ssh-keygen").chmod(0o755)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("STATE", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("COMMENT", "gatehouse-prod")
    made = subprocess.run(("/bin/sh", "-c", _GENERATE), check=True, capture_output=True, text=True)
    private, public = split_key_pair(made.stdout)
    assert private.startswith("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    assert public.startswith("ssh-ed25519 ")
    assert public.endswith(" gatehouse-prod")
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith("-q -t ed25519 -N  -C gatehouse-prod -f ")
    assert "PRIVATE" not in asked
    assert (tmp_path / "mode").read_text() == "700\n"
    assert list(temporary.iterdir()) == [], "nothing stays"


def test_what_is_no_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="did not print a private key followed by"):
        split_key_pair("ssh-ed25519 AAAA web-0\n")
