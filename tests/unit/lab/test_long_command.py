"""A long command's output: nothing if it succeeds, its last lines if it does not."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab import packages
from lab.images import disk
from lab.long_command import LAST_LINES, LongCommandError, run
from lab.pulumi import build


def test_a_command_gets_its_folder_environment_and_input(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script = 'cat > "$NAME"; echo noise; echo noise >&2'
    env = {"NAME": "got", "PATH": "/usr/bin:/bin"}
    run(("sh", "-c", script), seconds=60, folder=tmp_path, env=env, stdin="text\n")
    assert (tmp_path / "got").read_text() == "text\n"
    assert capfd.readouterr() == ("", "")


def test_a_command_without_input_reads_an_end_of_file() -> None:
    run(("sh", "-c", "! read line"), seconds=60)


def test_a_failure_shows_the_last_lines_of_both_streams_whatever_their_encoding() -> None:
    script = "seq 100; printf 'b\\344d\\n' >&2; exit 7"
    with pytest.raises(LongCommandError) as caught:
        run(("sh", "-c", script), seconds=60)
    first, *lines = str(caught.value).splitlines()
    assert first == f"sh -c {script}: exit code 7; its last lines:"
    last = range(100 - LAST_LINES + 2, 101)
    assert lines == [*(f"  {number}" for number in last), "  b\ufffdd"]


def test_a_failure_without_a_word_says_so() -> None:
    with pytest.raises(LongCommandError, match=r"^false: exit code 1, without any output$"):
        run(("false",), seconds=60)


def timed_out(command: Sequence[str], word: str) -> str:
    """Return the error of a command that hangs, with the least limit in which it gets so far."""
    for seconds in (1, 5, 25, 125):
        with pytest.raises(LongCommandError, match=f"not done after {seconds} s") as caught:
            run(command, seconds=seconds)
        if word in str(caught.value).splitlines():
            break
    return str(caught.value)


def test_a_command_that_hangs_is_ended_with_its_last_lines() -> None:
    lines = timed_out(("sh", "-c", "echo connecting; exec sleep 600"), "  connecting").splitlines()
    assert lines[-1] == "  connecting"


def test_a_command_that_hangs_without_its_streams_still_has_its_last_lines() -> None:
    script = "echo connecting; exec sleep 600 >/dev/null 2>&1"
    assert timed_out(("sh", "-c", script), "  connecting").endswith("\n  connecting")


def test_a_child_that_is_left_over_is_not_waited_for(tmp_path: Path) -> None:
    run(("sh", "-c", f"sleep 600 & echo $! > {tmp_path}/pid"), seconds=60)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_apts_failure_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "apt-get").write_text('#!/bin/sh\necho "E: no route"; exit 100\n')
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(
        packages.PackagesError, match=r"(?s)update: exit code 100; .*  E: no route\n.*run"
    ):
        packages.apt("update")


def test_a_failed_build_of_the_cli_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(build.BuildError, match=r"(?s)exit code 3; .*  no space\n.*install the CLI"):
        build._run(("sh", "-c", "echo no space; exit 3"), tmp_path, {"PATH": "/usr/bin:/bin"})


def test_a_failed_step_of_a_disk_image_says_what_to_do(tmp_path: Path) -> None:
    script = 'echo "$TMPDIR"; cat; exit 9'
    with pytest.raises(
        disk.ImageError, match=rf"(?s)exit code 9; .*  {tmp_path}\n  text\n.*nothing of"
    ):
        disk.run(["sh", "-c", script], tmp_path, stdin="text")
