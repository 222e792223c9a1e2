"""The copy of a lab's stack file that the Pulumi CLI gets, without secrets in plain text."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components import goyaml
from components.config import check
from components.config.loading import SECRET_KEYS, ConfigError
from lab.providers.values import show_path
from lab.pulumi.errors import StackError

_SALT_KEYS = ("encryptionsalt", "secretsprovider", "encryptedkey")


@dataclass(frozen=True)
class Copy:
    """A stack file, and the copy of it that the CLI gets."""

    source: Path
    path: Path

    @property
    def _marker(self) -> Path:
        return self.path.with_suffix(".source")

    @property
    def fresh(self) -> bool:
        """Whether the copy is complete, with its secrets, and the source has not changed since."""
        try:
            return self.path.exists() and self._marker.read_text() == self._digest()
        except OSError:
            return False

    def _digest(self) -> str:
        return hashlib.sha256(self.source.read_bytes()).hexdigest()

    def write(self) -> dict[str, str]:
        """Write the copy; return the secrets to set in it by path, in the CLI's syntax.

        Raises:
            StackError: The source cannot be read, or Pulumi would refuse it.
        """
        self._marker.unlink(missing_ok=True)
        return copy_config(self.source, self.path)

    def done(self) -> None:
        """Record that the copy has all its secrets."""
        self._marker.write_text(self._digest())


def copy_config(source: Path, copy: Path) -> dict[str, str]:
    """Copy a stack file without its secrets; return these by their paths for the CLI.

    The keys that the CLI has added to the copy for its encryption stay there. Pulumi reads all
    other values as in the source.

    Raises:
        StackError: The file cannot be read, or Pulumi would refuse it.
    """
    try:
        text = source.read_text(encoding="utf-8")
        theirs = check.document(text)
        before = goyaml.load(copy.read_text(encoding="utf-8")) if copy.exists() else {}
    except ConfigError as error:
        raise StackError("\n".join(f"{source}: {each}" for each in error.problems)) from error
    except (OSError, *goyaml.UNREADABLE) as error:
        raise StackError(f"{source}: cannot be read: {error}") from error
    if not isinstance(theirs, dict):
        theirs = {}  # the program says what is missing
    hidden: dict[str, str] = {}
    config = theirs.get("config")
    if isinstance(config, dict):
        left = {key: _without_secrets(config[key], str(key), hidden) for key in config}
        if hidden:
            text = goyaml.dump({**theirs, "config": left})
    added = {
        key: before[key]
        for key in _SALT_KEYS
        if isinstance(before, dict) and key in before and key not in theirs
    }
    if added:
        text = f"{text.rstrip()}\n{goyaml.dump(added)}"
    partial = copy.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(copy)
    return hidden


def _without_secrets(value: Any, path: str, hidden: dict[str, str], *, secret: bool = False) -> Any:
    """Return a config value without its secret texts, which go into `hidden`."""
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
            left[name] = _without_secrets(each, below, hidden, secret=inside)
    return left
