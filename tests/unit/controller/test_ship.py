"""Programs that are sent to a VM."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.program import PROJECT

# sshd runs the words, joined by spaces, by the user's shell there.
SSH = """#!/bin/sh
export SSH_CONNECTION="192.0.2.7 40000 192.0.2.10 22"
eval "$*"
"""


def ship(folder: Path, ssh: str, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "ssh").write_text(SSH)
    (folder / "ssh").chmod(0o755)
    # And no nft, in case that it is not refused as it should be.
    for name, path in (
        ("python3", str(Path(sys.executable).resolve())),
        *((each, shutil.which(each) or each) for each in ("env", "sh")),
    ):
        (folder / name).symlink_to(path)
    return subprocess.run(
        (sys.executable, "-S", "-m", "controller.ship", *words),
        check=False,
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env={"PATH": str(folder), "GATEHOUSE_SSH": ssh},
    )


def test_a_program_gets_its_arguments_and_its_exit_code_is_ours(tmp_path: Path) -> None:
    done = ship(tmp_path, "ssh", "vm_agent", "leave", "a b", "30", "mark=")
    assert done.returncode == 2
    assert "must be the id of a container (got 'a b')" in done.stderr


def test_the_firewall_knows_its_sender(tmp_path: Path) -> None:
    grant = '{"edge_ports": "", "edges": [], "public": [80], "ssh": ["10.90.0.1/32"]}'
    ssh = """ssh env 'SSH_CONNECTION="$SSH_CONNECTION"'"""
    done = ship(tmp_path, ssh, "vm_firewall", "allow", "a", grant, "--printed", "")
    assert done.returncode == 1
    assert "which the VM sees as 192.0.2.7; add that (got 10.90.0.1/32)" in done.stderr


@pytest.mark.parametrize("program", ["edge_agent", "archive", "", "../vm_agent"])
def test_other_programs_are_not_sent(tmp_path: Path, program: str) -> None:
    done = ship(tmp_path, "ssh", program)
    assert (done.returncode, "invalid choice" in done.stderr) == (2, True)


def test_without_its_environment_nothing_is_sent(tmp_path: Path) -> None:
    done = ship(tmp_path, "", "vm_agent", "deployed", "1")
    assert done.returncode == 2
    assert done.stderr == "the environment has no GATEHOUSE_SSH; Pulumi sets it\n"
