"""The copy of a lab's config that the Pulumi CLI gets: without secrets in plain text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from components.config import SECRET_KEYS
from lab.engine.errors import EngineError
from lab.engine.values import show_path

_SALT_KEYS = ("encryptionsalt", "secretsprovider", "encryptedkey")


def copy_config(source: Path, copy: Path) -> dict[str, str]:
    """Copy a stack's config file without its secrets, and return those by the CLI's path of each.

    What the CLI has added to the copy for its secrets is kept.

    Raises:
        EngineError: The file cannot be read.
    """
    try:
        text = source.read_text(encoding="utf-8")
        theirs = yaml.safe_load(text) or {}
        ours = yaml.safe_load(copy.read_text(encoding="utf-8")) if copy.exists() else {}
    except (OSError, yaml.YAMLError) as error:
        raise EngineError(f"{source}: cannot be read: {error}") from error
    hidden: dict[str, str] = {}
    for key, value in (theirs.get("config") or {}).items():
        theirs["config"][key] = _taken_out(value, str(key), hidden, secret=False)
    if hidden:
        text = yaml.safe_dump(theirs, sort_keys=False)
    added = {
        key: value for key, value in (ours or {}).items() if key in _SALT_KEYS and key not in theirs
    }
    if added:
        text = f"{text.rstrip()}\n{yaml.safe_dump(added)}"
    partial = copy.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(copy)
    return hidden


def _taken_out(value: Any, path: str, hidden: dict[str, str], *, secret: bool) -> Any:
    """Return a config value without its secret texts, which are put into `hidden`."""
    if not isinstance(value, dict) or set(value) == {"secure"}:
        return value
    left = {}
    for name, each in value.items():
        step = show_path((str(name),))
        below = f"{path}{step}" if step.startswith("[") else f"{path}.{step}"
        inside = secret or name in SECRET_KEYS
        if inside and isinstance(each, str):
            hidden[below] = each
        else:
            left[name] = _taken_out(each, below, hidden, secret=inside)
    return left
