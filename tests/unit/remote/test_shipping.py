"""Programs and files that are sent over a connection which may end early."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote.shipping import whole_file, whole_program
from remote.vm_agent import agent, ready
from remote.vm_firewall import firewall

PROGRAM = """\
import sys
print("half of it")
if __name__ == "__main__":
    print("ö", *sys.argv[1:], __name__)
    sys.exit(3)
"""


def shell(
    command: str, sent: bytes, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    told = subprocess.run(
        ("sh", "-c", command), input=sent, check=False, capture_output=True, cwd=folder
    )
    return subprocess.CompletedProcess(
        command, told.returncode, told.stdout.decode(), told.stderr.decode()
    )


def test_a_program_that_has_come_whole_runs() -> None:
    told = shell(f"{whole_program(PROGRAM)} a 'b c'", PROGRAM.encode())
    assert (told.returncode, told.stdout) == (3, "half of it\nö a b c __main__\n")


@given(st.integers(0, len(PROGRAM.encode()) - 1))
def test_of_a_program_that_ends_early_nothing_runs(cut: int) -> None:
    told = shell(whole_program(PROGRAM), PROGRAM.encode()[:cut])
    assert (told.returncode, told.stdout) == (1, "")
    assert "only a part of the program arrived, because the connection ended early" in told.stderr


@pytest.mark.parametrize("module", [firewall, ready])
def test_ours_can_be_run_so(module: object) -> None:
    text = Path(str(vars(module)["__file__"])).read_text()
    told = shell(whole_program(text), text.encode())
    assert told.returncode != 0
    assert "required" in told.stderr or "missing" in told.stderr, "arguments"


@given(st.integers(0, 60_000))
def test_half_an_agent_is_never_installed(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("home")
    text = Path(agent.__file__).read_text()
    (folder / "agent.py").write_text("the one before")
    told = shell(f"{whole_file(text, 'agent.py')}; echo go on", text.encode()[:cut], folder)
    whole = cut >= len(text.encode())
    assert (folder / "agent.py").read_text() == (text if whole else "the one before")
    assert told.stdout == ("go on\n" if whole else "")
    assert [each.name for each in folder.iterdir()] == ["agent.py"]
