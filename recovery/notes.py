"""The pending operations in a state, which an interrupted update leaves."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any

from recovery.things import Thing, Unreachable, thing

_COMMAND = "command:local:Command"
_MARK = "GATEHOUSE_RECOVERED"
# Of `remote.mark`: the deletion of the command then undoes whatever is in force.
_ANY = "any-mark"
# What the deletion of a command has that undoes its effect; that of a gate only shuts its VM down.
_UNDOING = ("PULUMI_COMMAND_STDOUT", "controller.dhcp_reservation")
_SIGNATURE = "4dabf18193072939515e22adb298388d"  # of a secret in a state


@dataclass(frozen=True)
class Note:
    """One operation that was under way."""

    operation: dict[str, Any]
    """As in the state."""
    left: Thing | None
    """The resource that it left; None if there is none, or if Pulumi can simply repeat it."""
    unknown: str = ""
    """Why that is unclear; all notes are kept then, because Pulumi can only drop all of them."""

    known: bool = False
    """Whether the state has the resource, as it was before."""
    undone: bool = False
    """Whether the state can take in the resource, a new command, so that Pulumi can undo it."""

    @property
    def effect(self) -> bool:
        """Whether it may have had an effect that no refresh can read: that of a command."""
        return bool(self.operation["resource"]["type"] == _COMMAND)

    def __str__(self) -> str:
        """Return what was under way, for people."""
        resource = self.operation["resource"]
        return (
            f"{self.operation['type']} {resource['urn'].rpartition('::')[2]} ({resource['type']})"
        )


def notes(deployment: dict[str, Any]) -> list[Note]:
    """Return the notes of a state, each with what really is there.

    The names were chosen before a creation began, so what it has left can be found. Other
    operations, and creations of what leaves nothing, are simply done again.

    Args:
        deployment: As ``pulumi stack export`` prints it.
    """
    return [_note(deployment, each) for each in deployment.get("pending_operations") or []]


def _note(deployment: dict[str, Any], operation: dict[str, Any]) -> Note:
    resource = operation["resource"]
    resources = deployment.get("resources") or []
    if resource["type"] == _COMMAND:
        known = any(each["urn"] == resource["urn"] for each in resources)
        undone = operation["type"] == "creating" and _can_be_taken_in(deployment, resource)
        return Note(operation, None, known=known, undone=undone)
    provider = next(
        (
            each
            for each in resources
            if f"{each['urn']}::{each.get('id', '')}" == resource.get("provider")
        ),
        None,
    )
    # Without its provider, what that managed is gone too.
    if operation["type"] != "creating" or provider is None:
        return Note(operation, None)
    inputs = revealed(resource.get("inputs") or {})
    known = any(
        each["type"] == resource["type"]
        and (each.get("inputs") or {}).get("name") == inputs.get("name")
        for each in resources
    )
    try:
        found = thing(resource["type"], inputs, revealed(provider.get("inputs") or {}))
        return Note(operation, found if found and not known and found.exists() else None)
    except Unreachable as error:
        return Note(operation, None, str(error))


def run_again(deployment: dict[str, Any]) -> None:
    """Change a state so that the next update runs the interrupted commands again, in place.

    An interrupted command may have had its effect. Pulumi compares its inputs only, so it would
    not run it again if the config is by now what it was before. A command that was new is put into
    the state: the update runs it again, or undoes it if the config does not have it any more.

    Args:
        deployment: As ``pulumi stack export`` prints it, with the pending operations.
    """
    operations = deployment.get("pending_operations") or []
    for operation in operations:
        if operation["type"] == "creating" and _can_be_taken_in(deployment, operation["resource"]):
            deployment["resources"].append(_taken_in(operation["resource"]))
    pending = {operation["resource"]["urn"] for operation in operations}
    for resource in deployment.get("resources") or []:
        if resource["urn"] in pending and resource["type"] == _COMMAND:
            # The command provider compares one of the two, depending on the version of the engine.
            for properties in ("inputs", "outputs"):
                _mark(resource.setdefault(properties, {}))


def _can_be_taken_in(deployment: dict[str, Any], resource: dict[str, Any]) -> bool:
    """Whether a resource that was being created is a new command that can be undone."""
    delete = (resource.get("inputs") or {}).get("delete")
    if resource["type"] != _COMMAND or not isinstance(delete, str):
        return False
    resources = deployment.get("resources") or []
    urns = {each["urn"] for each in resources if not each.get("delete")}
    providers = {f"{each['urn']}::{each.get('id', '')}" for each in resources}
    needed = {
        resource.get("parent"),
        resource.get("deletedWith"),
        *resource.get("dependencies", ()),
    }
    for each in (resource.get("propertyDependencies") or {}).values():
        needed.update(each or ())
    return (
        any(each in delete for each in _UNDOING)
        and resource["urn"] not in urns
        and needed - {None, ""} <= urns
        and resource.get("provider") in providers
    )


def _taken_in(resource: dict[str, Any]) -> dict[str, Any]:
    """Return a command that was being created as if it had been, with an output that nobody got."""
    inputs = resource["inputs"]
    printed = _ANY if _UNDOING[0] in inputs["delete"] else ""
    return {
        **resource,
        "id": f"recovered-{secrets.token_hex(4)}",
        "inputs": dict(inputs),
        "outputs": {**inputs, "stdout": printed, "stderr": ""},
    }


def _mark(properties: dict[str, Any]) -> None:
    """Change a command's properties, but neither what it runs when it is deleted nor its keys.

    A variable is harmless where the program ignores changes, and so keeps it.
    """
    environment = properties.get("environment") or {}
    if _SIGNATURE in environment:
        properties["create"] = f": {_MARK}"
    else:
        properties["environment"] = {**environment, _MARK: "1"}


def revealed(value: Any) -> Any:
    """Return a value of an export with those secrets in plain text that it shows."""
    if isinstance(value, list):
        return [revealed(item) for item in value]
    if isinstance(value, dict):
        if "plaintext" in value and len(value) == 2:
            return revealed(json.loads(value["plaintext"]))
        return {key: revealed(item) for key, item in value.items()}
    return value
