"""The pending operations in a state, which an interrupted update leaves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from recovery.things import Thing, Unreachable, thing


@dataclass(frozen=True)
class Note:
    """One operation that was under way."""

    operation: dict[str, Any]
    """As in the state."""
    left: Thing | None
    """The resource that it left; None if there is none, or if Pulumi can simply repeat it."""
    unknown: str = ""
    """Why that is unclear; all notes are kept then, because Pulumi can only drop all of them."""

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


def revealed(value: Any) -> Any:
    """Return a value of an export with those secrets in plain text that it shows."""
    if isinstance(value, list):
        return [revealed(item) for item in value]
    if isinstance(value, dict):
        if "plaintext" in value and len(value) == 2:
            return revealed(json.loads(value["plaintext"]))
        return {key: revealed(item) for key, item in value.items()}
    return value
