"""The lab engine does what the Pulumi CLI does: the same operations, in an order that fits.

A program of commands that only note that they ran is applied by both, through changes that touch
every option which the lab engine implements. Skipped where the CLI is not at hand.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab import engines

PROJECT = Path(__file__).parents[2]

PROGRAM = """
import os, pulumi
from pulumi_command import local

settings = pulumi.Config().require_object("settings")
options = pulumi.ResourceOptions

def command(name, opts=None, **inputs):
    note = f"{name} >> {os.environ['NOTES']}"
    return local.Command(name, local.CommandArgs(
        create=f"echo create {note}; echo {name}", update=f"echo update {note}; echo {name}",
        delete=f"echo delete {note}", **inputs), opts)

class Group(pulumi.ComponentResource):
    def __init__(self, name, opts):
        super().__init__("my:own:Group", name, None, opts)

env = {"environment": {"A": settings["env"], "B": settings["env"]}}
vm = command("vm", triggers=[settings["vm"]])
group = Group("group", options(deleted_with=vm))
command("in-group", options(parent=group))
box = command("box", options(deleted_with=vm, depends_on=[vm]), stdin=vm.stdout)
command("along", options(replace_with=[vm]))
first = command("first", options(delete_before_replace=True), triggers=[settings["first"]])
triggered = command("triggered", triggers=[first.id])
command("fed", stdin=first.id)
command("after", options(depends_on=[first]), **env)
command("further", triggers=[triggered.stdout])
command("with-first", options(deleted_with=first))
command("trigger", options(replacement_trigger=settings["trigger"]))
command("trigger-first",
        options(replacement_trigger=settings["trigger"], delete_before_replace=True))
command("ignoring", options(ignore_changes=["environment"]), **env)
command("ignoring-one", options(ignore_changes=["environment.A"]), **env)
command("replacing", options(replace_on_changes=["environment.A"]), **env)
command("hidden", options(additional_secret_outputs=["stdout"]),
        environment={"A": pulumi.Output.secret(settings["env"])})
if settings["extra"]:
    one = command("extra", options(depends_on=[box]))
    command("extra-child", options(parent=group, depends_on=[one]))
"""

START: dict[str, Any] = {"vm": "1", "first": "1", "env": "1", "trigger": "1", "extra": False}
STEPS: tuple[dict[str, Any], ...] = (
    START,
    START | {"env": "2"},
    START | {"env": "2", "vm": "2", "extra": True},
    START | {"env": "2", "vm": "2", "first": "2", "trigger": "2"},
    {"vm": "3", "first": "3", "env": "3", "trigger": "3", "extra": True},
)


class Side:
    """One engine on a project of its own."""

    def __init__(self, module: str, folder: Path) -> None:
        self.module = module
        self.folder = folder
        folder.mkdir()
        (folder / "__main__.py").write_text(PROGRAM)
        (folder / "Pulumi.yaml").write_text(
            "name: alike\nruntime:\n  name: python\n  options:\n"
            f"    virtualenv: {Path(sys.prefix)}\n"
        )

    def run(self, operation: str, settings: dict[str, Any]) -> list[str]:
        """Return the notes that the commands of one run took, as they came."""
        notes = self.folder / "notes"
        notes.write_text("")
        config = {"config": {"alike:settings": settings}}
        (self.folder / "Pulumi.test.yaml").write_text(json.dumps(config))
        done = subprocess.run(
            (
                *(sys.executable, "-m", self.module, operation, "--stack", "test"),
                *("--project", str(self.folder), "--state", str(self.folder / "state")),
            ),
            cwd=PROJECT,
            env={**os.environ, "NOTES": str(notes)},
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout
        return notes.read_text().splitlines()


def before(notes: list[str], *expected: str) -> bool:
    """Return whether the expected notes are there in this order, others between them or not."""
    rest = iter(notes)
    return all(note in rest for note in expected)


def test_both_engines_carry_out_the_same_operations(tmp_path: Path) -> None:
    engine, why = engines.choose("auto")
    if engine != "pulumi":
        pytest.skip(why)
    lab = Side("lab.engine", tmp_path / "lab")
    real = Side("lab.pulumi_cli", tmp_path / "real")
    for settings in STEPS:
        ours, theirs = lab.run("up", settings), real.run("up", settings)
        assert sorted(ours) == sorted(theirs), settings
        if settings["first"] == "2":
            order = ("delete further", "delete triggered", "delete first", "create first")
            for notes in (ours, theirs):
                assert before(notes, *order, "create triggered", "create further")
                assert before(notes, "create trigger", "delete trigger")
                assert before(notes, "delete trigger-first", "create trigger-first")
        lab.run("preview", settings)
        assert (tmp_path / "lab" / "notes").read_text() == ""
        assert lab.run("up", settings) == []
    ours, theirs = lab.run("destroy", STEPS[-1]), real.run("destroy", STEPS[-1])
    assert sorted(ours) == sorted(theirs)
    assert "delete box" not in ours
    for notes in (ours, theirs):
        assert before(notes, "delete further", "delete triggered", "delete first")
