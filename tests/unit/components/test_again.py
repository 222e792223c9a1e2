"""A command that failed runs again, on each machine alike and only once."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from components import again
from controller.again import run
from tests.support import program

EDGE = "edge-haproxy"
NOTE = Path(".gatehouse/test/again") / EDGE


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def variables(done: program.Run) -> dict[str, Any]:
    found: dict[str, Any] = done.edge.inputs.get("environment", {})
    return found


def config_of(replicas: int) -> dict[str, Any]:
    return program.config(services__hello__replicas=replicas)


def test_a_command_that_failed_is_an_update_until_it_has_succeeded(
    capfd: pytest.CaptureFixture[str],
) -> None:
    first = program.run(program.config())
    assert run(NOTE, "create", "echo done; exit 255") == 255
    printed = capfd.readouterr()
    assert printed.out == "done\n"
    assert "edge-haproxy: this command failed, but may have taken effect" in printed.err
    for preview in (True, False):
        second = program.run(program.config(), before=first, preview=preview)
    assert set(variables(second)) - set(variables(first)) == {again.VARIABLE}
    assert run(NOTE, "create", "true") == 0
    third = program.run(program.config(), before=second)
    assert variables(third) == variables(second), "as on a machine that never had the note"
    assert run(NOTE, "create", "kill -KILL $$") == 137
    fourth = program.run(program.config(), before=third)
    assert variables(fourth)[again.VARIABLE] != variables(third)[again.VARIABLE], "another time"


@pytest.mark.parametrize("before", ["", "deadbeefdeadbeef"])
@pytest.mark.parametrize("kind", ["create", "delete"])
def test_what_to_do_depends_on_whether_pulumi_knows_the_command(
    kind: str, before: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PULUMI_COMMAND_STDOUT", raising=False)
    if before:
        monkeypatch.setenv("PULUMI_COMMAND_STDOUT", before)
    assert run(NOTE, kind, "exit 255") == 255
    printed = capfd.readouterr().err
    assert ("from this folder runs it again" in printed) == (kind == "delete" or before != "")
    assert ("Run that first even if you want the previous config back" in printed) == (
        kind == "create" and before == ""
    )


def test_a_deletion_that_failed_makes_the_next_run_an_update() -> None:
    first = program.run(program.config())
    assert "controller.again" in first.edge.inputs["delete"]
    assert run(NOTE, "delete", "exit 255") == 255
    second = program.run(program.config(), before=first)
    assert set(variables(second)) - set(variables(first)) == {again.VARIABLE}


def test_a_command_that_is_killed_has_failed() -> None:
    NOTE.parent.mkdir(parents=True)
    again_and_note = ("-m", "controller.again", NOTE.absolute(), "create")
    with subprocess.Popen(
        (sys.executable, *again_and_note, "echo x; read forever"),
        cwd=program.PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"x\n"
        process.kill()
        assert process.stdout.read() == b"", "what it started has ended too"
    assert again.read(NOTE)


@pytest.mark.parametrize("in_the_way", [NOTE, NOTE.with_name(f"{NOTE.name}.part"), NOTE.parent])
def test_without_its_note_a_command_does_not_run(
    in_the_way: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if in_the_way == NOTE.parent:
        in_the_way.parent.mkdir(parents=True)
        in_the_way.touch()
    else:
        in_the_way.mkdir(parents=True)
    assert run(NOTE, "create", "echo done") == 1
    printed = capfd.readouterr()
    assert printed.out == ""
    assert f"its note {NOTE.absolute()} cannot be written" in printed.err


@pytest.mark.parametrize("target", ["/dev/zero", "pipe", "note", "elsewhere"])
def test_a_note_that_is_a_link_says_nothing(target: str) -> None:
    NOTE.parent.mkdir(parents=True)
    os.mkfifo(NOTE.parent / "pipe")
    (NOTE.parent / "elsewhere").write_text("deadbeefdeadbeef")
    NOTE.symlink_to(NOTE.name if target == "note" else target)
    assert again.read(NOTE) == ""
    assert again.read(NOTE.parent / "pipe") == ""
    assert again.read(NOTE.parent / "elsewhere") == "deadbeefdeadbeef"


def test_a_note_of_a_command_that_was_never_made_is_no_update(
    caplog: pytest.LogCaptureFixture,
) -> None:
    run(NOTE, "create", "false")
    assert again.VARIABLE not in variables(program.run(program.config()))
    assert str(NOTE) not in caplog.text, "it runs anyway"


@pytest.mark.parametrize("preview", [True, False])
def test_a_command_that_is_in_neither_config_nor_state_is_warned_of(
    preview: bool, caplog: pytest.LogCaptureFixture
) -> None:
    first, without = program.run(program.config()), program.run(config_of(1))
    note = NOTE.with_name("hello-web-0-1-serving")
    run(note, "create", "false")
    (note.parent / "notes.txt").write_text("somebody's own")
    program.run(config_of(3), before=first, preview=preview)
    assert "this command of an earlier update failed" not in caplog.text
    program.run(config_of(1), before=first, preview=preview)
    assert "this command of an earlier update failed" not in caplog.text, "Pulumi deletes it"
    program.run(config_of(1), before=without, preview=preview)
    (warning,) = (each for each in caplog.messages if "of an earlier update failed" in each)
    assert warning.startswith(f"{note}: this command")


def test_keys_are_not_made_again_and_all_else_on_machines_is() -> None:
    done = program.run(
        program.config(farm__network={"macs": ["52:54:00:00:00:10"] * 1}, farm__vms=1)
    )
    commands = done.of_type("command:local:Command")
    left = {
        name for name, each in commands.items() if "controller.again" not in each.inputs["create"]
    }
    assert left == {"farm-room", "farm-ssh-keygen", "web-0-hostkey-keygen"}
