"""Programs that are sent in a command."""

import base64
import subprocess
from pathlib import Path

import pytest

from remote.archive import PROGRAMS, archive
from remote.shipping import archive_command


def shell(command: str, folder: Path, sent: bytes = b"") -> tuple[int, str, str]:
    done = subprocess.run(
        ("sh", "-c", command), input=sent, check=False, capture_output=True, cwd=folder
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize("program", PROGRAMS)
def test_ours_run_from_memory(program: str, tmp_path: Path) -> None:
    code, _, error = shell(archive_command(archive(program), "frobnicate"), tmp_path)
    assert code == 2
    assert "invalid choice: 'frobnicate'" in error
    assert not list(tmp_path.iterdir())


def test_arguments_and_input_are_the_programs_own(tmp_path: Path) -> None:
    program = b"import sys\nprint(sys.stdin.read(), sys.argv[1:], __name__)\nsys.exit(3)\n"
    said = shell(archive_command(program, "a", "b 'c'", "$HOME"), tmp_path, b"given")
    assert said == (3, """given ['a', "b 'c'", '$HOME'] __main__\n""", "")


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_half_an_agent_is_never_installed(tmp_path: Path, cut: int) -> None:
    file = tmp_path / "agent.py"
    file.write_text("the one before")
    program = archive("vm_agent")
    command = archive_command(program, "install", "agent.py", "0")
    text = base64.b64encode(program).decode()
    code, out, error = shell(command.replace(text, text[: len(text) * cut // 4 // 4 * 4]), tmp_path)
    assert (code, out) == (1, "")
    assert "did not arrive whole" in error
    assert file.read_text() == "the one before"
    assert list(tmp_path.iterdir()) == [file]


def test_an_agent_that_has_come_whole_is_installed(tmp_path: Path) -> None:
    command = archive_command(archive("vm_agent"), "install", "agent.py", "0")
    code, _, error = shell(f"GATEHOUSE_FOLDER={tmp_path} {command}", tmp_path)
    assert (code, "the agent does not run after 0 s" in error) == (1, True), error
    assert (tmp_path / "agent.py").read_bytes() == archive("vm_agent")
    assert [each.name for each in tmp_path.iterdir()] == ["agent.py"]
