"""Reads a stack's state file directly, as asking the CLI can take seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - Pulumi's own name for what is one
_STACK = "pulumi:pulumi:Stack"


def path(folder: Path, project: str, stack: str) -> Path:
    """Return the place of the state below the folder of a backend."""
    return folder / ".pulumi" / "stacks" / project / f"{stack}.json"


def read(file: Path) -> dict[str, Any]:
    """Return the checkpoint in a state file; an empty one if there is none.

    Raises:
        ValueError: It is not a Pulumi state.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    try:
        latest = json.loads(text)["checkpoint"].get("latest") or {}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file}: is not a Pulumi state") from error
    if not isinstance(latest, dict):
        raise ValueError(f"{file}: is not a Pulumi state")  # noqa: TRY004 - of the file's content
    return latest


def outputs(state: dict[str, Any]) -> dict[str, Any]:
    """Return the program's outputs, with `[secret]` for each secret, as the CLI shows them."""
    found: dict[str, Any] = {}
    for resource in state.get("resources") or []:
        if resource["type"] == _STACK:
            found = _shown(resource.get("outputs") or {})
    return found


def _shown(value: Any) -> Any:
    if isinstance(value, list):
        return [_shown(each) for each in value]
    if isinstance(value, dict):
        if value.get(_SIGNATURE) == _SECRET:
            return "[secret]"
        return {key: _shown(each) for key, each in value.items()}
    return value
