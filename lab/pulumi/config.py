"""The copy of a lab's config that the Pulumi CLI gets: without secrets in plain text."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.config.loading import SECRET_KEYS
from lab.providers.values import show_path
from lab.pulumi.errors import StackError

_SALT_KEYS = ("encryptionsalt", "secretsprovider", "encryptedkey")


@dataclass(frozen=True)
class Copy:
    """A stack's config file, and the copy of it that the CLI gets."""

    source: Path
    path: Path

    @property
    def _marker(self) -> Path:
        return self.path.with_suffix(".source")

    @property
    def fresh(self) -> bool:
        """Whether it was made from the source as it is now, and has all its secrets."""
        try:
            return self.path.exists() and self._marker.read_text() == self._digest()
        except OSError:
            return False

    def _digest(self) -> str:
        return hashlib.sha256(self.source.read_bytes()).hexdigest()

    def write(self) -> dict[str, str]:
        """Make it, and return the secrets to set in it, each by its path in the CLI's syntax.

        Raises:
            StackError: The source cannot be read.
        """
        self._marker.unlink(missing_ok=True)
        return copy_config(self.source, self.path)

    def done(self) -> None:
        """Note that it has all its secrets."""
        self._marker.write_text(self._digest())


def copy_config(source: Path, copy: Path) -> dict[str, str]:
    """Copy a stack's config file without its secrets; return these by their paths for the CLI.

    What the CLI has added to the copy for its secrets is kept.

    Raises:
        StackError: The file cannot be read.
    """
    try:
        text = source.read_text(encoding="utf-8")
        theirs = yaml.safe_load(text) or {}
        ours = yaml.safe_load(copy.read_text(encoding="utf-8")) if copy.exists() else {}
    except (OSError, yaml.YAMLError) as error:
        raise StackError(f"{source}: cannot be read: {error}") from error
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
