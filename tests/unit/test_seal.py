"""What the keeper reads is whole, or nothing is done with it."""

import base64
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.edge.keeper.seal import opened, sealed
from components.edge.keeper.system import EdgeError
from components.scripts import archive_command

texts = st.text(max_size=200)


@given(texts)
def test_a_whole_text_is_read_as_it_was_written(text: str) -> None:
    assert opened(sealed(text).encode()) == text


@given(texts, st.data())
def test_every_beginning_of_a_text_is_refused(text: str, data: st.DataObject) -> None:
    whole = sealed(text).encode()
    end = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(EdgeError, match=r"nothing was changed; run `pulumi up` again"):
        opened(whole[:end])


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda whole: whole + whole,
        lambda whole: whole.replace(b"\n", b"\r\n"),
        lambda whole: b"\xef\xbb\xbf" + whole,
        lambda whole: whole + b"\n",
        lambda whole: whole + b"more\n",
        lambda whole: whole[44:],
        lambda whole: whole.replace(b"global", b"Global"),
    ],
    ids=["twice", "line ends", "mark", "empty line", "more", "late", "changed"],
)
def test_what_is_not_as_it_was_sent_is_refused(spoilt: object) -> None:
    whole = sealed("global\n    user haproxy\n").encode()
    with pytest.raises(EdgeError):
        opened(spoilt(whole))  # type: ignore[operator]


def test_a_program_that_does_not_arrive_whole_is_not_run(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("print('done')\n")
    command = archive_command(program.read_bytes())
    text = base64.b64encode(program.read_bytes()).decode()
    assert text in command
    whole = subprocess.run(command, shell=True, capture_output=True, text=True)  # noqa: S602
    assert whole.stdout == "done\n", whole.stderr
    for end in range(0, len(text), 4):
        cut = subprocess.run(  # noqa: S602
            command.replace(text, text[:end] or "''"), shell=True, capture_output=True, text=True
        )
        assert cut.returncode != 0
        assert cut.stdout == ""
        assert "did not arrive whole" in cut.stderr, hashlib.sha256(cut.stderr.encode())


def test_the_keeper_reads_its_input_before_anything_is_made(tmp_path: Path) -> None:
    for action, *more in (("apply", "10"), ("users",)):
        folder = tmp_path / action
        done = subprocess.run(
            (sys.executable, "-m", "components.edge.keeper", action, folder, "test", *more),
            input=sealed("global\n")[:-44],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        assert done.stderr.startswith("edge test: the input ends early: ")
        assert not folder.exists()
