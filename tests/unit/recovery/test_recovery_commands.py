"""Interrupted commands and vanished data: what a recovery runs again, undoes or stops for."""

import json
from typing import Any

import pytest

from recovery import notes
from remote import mark
from tests.support.recovery import CONTAINER, UP, URN, Stack, command, interrupted


@pytest.mark.parametrize("kind", ["updating", "deleting", "creating"])
def test_a_command_that_may_have_taken_effect_is_run_again(
    stack: Stack, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    edge, other = command("edge-haproxy"), command("web-0-agent")
    stack.has(interrupted(kind, edge), resources=(edge, other))
    assert stack.recover("--yes") == 0
    assert f"run again: {kind} edge-haproxy" in capsys.readouterr().out
    imported = json.loads((stack.folder / "imported.json").read_text())["deployment"]["resources"]
    marked = {"A": "b", "GATEHOUSE_RECOVERED": "1"}
    for properties in ("inputs", "outputs"):
        assert imported[-2][properties] == edge[properties] | {"environment": marked}
    assert imported[-1] == other, "no other one is"


PROVIDER: dict[str, Any] = {
    "urn": f"{URN}pulumi:providers:command::default",
    "id": "3",
    "type": "pulumi:providers:command",
}
HOST: dict[str, Any] = {"urn": f"{URN}host", "type": "gatehouse:host:ContainerHost"}
UNDO = 'forbid web-0-firewall --printed "$PULUMI_COMMAND_STDOUT"'


def new_command(delete: str = UNDO, **more: Any) -> dict[str, Any]:
    """Return a command as a pending creation has it."""
    made = command("web-0-firewall", delete=delete)
    del made["id"], made["outputs"]
    provider = f"{PROVIDER['urn']}::3"
    return {**made, "parent": HOST["urn"], "provider": provider, "dependencies": []} | more


@pytest.mark.parametrize(
    ("delete", "printed"),
    [(UNDO, mark.ANY), ("exec python3 -m controller.dhcp_reservation remove", "")],
)
def test_a_new_command_that_may_have_taken_effect_can_be_undone(
    stack: Stack, capsys: pytest.CaptureFixture[str], delete: str, printed: str
) -> None:
    new = new_command(delete)
    stack.has(interrupted("creating", new), resources=(PROVIDER, HOST))
    assert stack.recover("--yes") == 0
    said = "run again, or undo if the config does not have it any more: creating web-0-firewall"
    assert said in capsys.readouterr().out
    imported = json.loads((stack.folder / "imported.json").read_text())["deployment"]["resources"]
    assert imported[-1]["urn"] == new["urn"]
    assert imported[-1]["id"]
    assert imported[-1]["outputs"]["stdout"] == printed
    for properties in ("inputs", "outputs"):
        assert imported[-1][properties]["delete"] == delete
        assert imported[-1][properties]["environment"]["GATEHOUSE_RECOVERED"]


@pytest.mark.parametrize(
    "new",
    [
        new_command("exec python3 -m controller.boot shutdown"),
        new_command(parent=f"{URN}gone"),
        new_command(deletedWith=f"{URN}gone"),
        new_command(dependencies=[f"{URN}gone"]),
        new_command(propertyDependencies={"create": [f"{URN}gone"]}),
        new_command(provider=f"{PROVIDER['urn']}::4"),
    ],
)
def test_a_new_command_that_cannot_be_undone_is_not_said_to_run_again(
    stack: Stack, capsys: pytest.CaptureFixture[str], new: dict[str, Any]
) -> None:
    stack.has(interrupted("creating", new), resources=(PROVIDER, HOST))
    assert stack.recover("--yes") == 0
    shown = capsys.readouterr().out
    assert "run again" not in shown
    assert "repeat: creating web-0-firewall" in shown
    assert "which nothing undoes if the config does not have it" in shown
    imported = json.loads((stack.folder / "imported.json").read_text())["deployment"]["resources"]
    assert imported[-1] == HOST, "or the state could not be read any more"


def protected_volume(kind: str, name: str, *, protect: bool = True) -> dict[str, Any]:
    """Return a disk or volume as a state has it."""
    resource = {"urn": f"{URN}{kind}::{name}", "type": kind, "id": name, "protect": protect}
    return {**resource, "outputs": {"name": f"{name}-1a2b3c4"}}


@pytest.mark.parametrize("kind", ["libvirt:index/volume:Volume", "docker:index/volume:Volume"])
def test_data_that_is_not_found_ends_it_before_the_update(
    stack: Stack, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    kept, gone = protected_volume(kind, "kept"), protected_volume(kind, "gone")
    stack.has(resources=(kept,))
    (stack.folder / "export.json").rename(stack.folder / "refreshed.json")
    stack.has(resources=(kept, gone))
    assert stack.recover("--yes") == 1
    assert "which hold data: gone-1a2b3c4. The update" in capsys.readouterr().err
    assert stack.changes == ["cancel --yes", UP[0], "stack import"]
    imported = json.loads((stack.folder / "imported.json").read_text())["deployment"]["resources"]
    assert imported[2:] == [kept, gone], "the state from before"


def test_data_that_is_not_found_does_not_cost_the_notes(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = protected_volume("docker:index/volume:Volume", "gone")
    (stack.folder / "gone").touch()
    stack.has(CONTAINER)
    (stack.folder / "export.json").rename(stack.folder / "refreshed.json")
    stack.has(CONTAINER, resources=(gone,))
    assert stack.recover("--yes") == 1
    assert "the state does not have them any more" in capsys.readouterr().err
    assert stack.changes == ["cancel --yes", UP[0]]


def test_what_holds_no_data_may_be_gone(stack: Stack) -> None:
    gone = protected_volume("docker:index/volume:Volume", "gone", protect=False)
    stack.has()
    (stack.folder / "export.json").rename(stack.folder / "refreshed.json")
    stack.has(resources=(gone,))
    assert stack.recover("--yes") == 0
    assert stack.changes == ["cancel --yes", *UP]


def test_a_command_with_a_secret_environment_is_run_again() -> None:
    hidden = {"4dabf18193072939515e22adb298388d": "1b47", "ciphertext": "v1:x"}
    edge = command("edge-haproxy", environment=hidden)
    deployment = {"resources": [edge], "pending_operations": [interrupted("updating", edge)]}
    notes.run_again(deployment)
    assert edge["inputs"]["environment"] == hidden
    assert edge["inputs"]["create"] != "make edge-haproxy"
