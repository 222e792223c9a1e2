"""The commands of the graph, as their provider runs them."""

import re
import subprocess
from pathlib import Path

import pytest

from remote import archive
from tests.support import program


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the program writes the key files of a stack below its folder


@pytest.mark.parametrize(
    ("name", "commands"),
    [
        ("web-0-host-firewall-", ("create", "delete")),
        ("edge-haproxy", ("delete",)),
        ("hello-web-1-0-serving", ("create", "delete")),
    ],
)
@pytest.mark.parametrize("printed", ["0123456789abcdef", "", "two\nlines; touch broken $(touch b)"])
def test_what_updates_or_undoes_a_command_gets_what_the_command_has_printed(
    name: str,
    commands: tuple[str, ...],
    printed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = program.run(program.config())
    (resource,) = (each for key, each in run.resources.items() if key.startswith(name))
    # The last word of ssh is for a shell on the other side of the connection.
    there = 'for last; do :; done; eval "set -- $last"'
    for word, first in (("ssh", there), ("python3", ":")):
        (tmp_path / word).write_text(f'#!/bin/sh\n{first}\necho "$@" > said\n')
        (tmp_path / word).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for kind in commands:
        command = run.command(resource.name, kind)
        monkeypatch.setenv("PULUMI_COMMAND_STDOUT", printed)
        subprocess.run(("sh", "-c", command), check=True)
        said = Path("said").read_text().rstrip()
        assert said.endswith((f"--printed {printed}".rstrip(), f"mark={printed}"))
        assert not Path("broken").exists()
        monkeypatch.delenv("PULUMI_COMMAND_STDOUT")
        subprocess.run(("sh", "-c", command), check=True)
        assert Path("said").read_text().rstrip().endswith(("--printed", "mark="))


def test_the_programs_on_vms_are_sent_again_when_they_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def programs() -> dict[str, object]:
        resources = program.run(program.config()).resources
        return {
            name: each.inputs["environment"]
            for name, each in resources.items()
            if "GATEHOUSE_VM_" in str(each.inputs.get("environment"))
        }

    before = programs()
    assert {re.sub("-[0-9a-f]{8}$", "", name) for name in before} == {
        f"web-{vm}-host-{what}" for vm in (0, 1) for what in ("agent", "firewall")
    }
    monkeypatch.setattr(archive, "packed", "another version")
    after = programs()
    assert all(after[name] != environment for name, environment in before.items())
