"""The state file: what the engine has made, and what it was doing when it was last heard of.

It is written whole, to a file beside it that then takes its place, before and after each
operation; so a run that is killed at any moment leaves a state that tells what it was about to do.
Secrets are in it encrypted, with the key beside it (`lab.engine.vault`), and only they: what the
program or a provider does not mark as secret is in plain text, so the folder is for its owner only.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.engine.errors import EngineError
from lab.engine.model import Resource
from lab.engine.values import Props, from_wire, to_wire
from lab.engine.vault import Vault

_VERSION = 2
_PLAIN_VERSION = 1


@dataclass(kw_only=True)
class Pending:
    """An operation that began and has not been reported as done."""

    kind: str
    """`create`, `update` or `delete`."""
    resource: Resource


@dataclass(kw_only=True)
class State:
    """All that the engine knows about a stack."""

    resources: list[Resource] = field(default_factory=list)
    """Dependencies first; the ones still to be deleted last."""
    pending: list[Pending] = field(default_factory=list)
    outputs: Props = field(default_factory=dict)
    """What the program exported in its last complete run."""

    def to_json(self) -> dict[str, Any]:
        """Return the form in the file, but for its secrets, which are not encrypted yet."""
        return {
            "version": _VERSION,
            "resources": [resource.to_json() for resource in self.resources],
            "pending": [
                {"kind": item.kind, "resource": item.resource.to_json()} for item in self.pending
            ],
            "outputs": to_wire(self.outputs),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> State:
        """Read what `to_json` made."""
        return cls(
            resources=[Resource.from_json(item) for item in data["resources"]],
            pending=[
                Pending(kind=item["kind"], resource=Resource.from_json(item["resource"]))
                for item in data["pending"]
            ],
            outputs=from_wire(data["outputs"]),
        )


class StateFile:
    """A stack's state on disk, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / "state.json"
        self._lock = folder / "lock"
        self._vault = Vault(folder / "key")

    def load(self) -> State:
        """Return the state; an empty one when there is no file.

        Raises:
            EngineError: The file is not a state file of this engine, or its key is not there.
        """
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return State()
        try:
            data = json.loads(text)
            self._check_version(data["version"])
            return State.from_json(self._vault.opened(data))
        except (ValueError, KeyError, TypeError) as error:
            raise EngineError(
                f"{self._path}: this is not a state of this lab engine ({error}): "
                "remove the lab and its state, then start again"
            ) from error

    def _check_version(self, version: object) -> None:
        if version == _PLAIN_VERSION:
            raise EngineError(
                f"{self._path}: an older version of Gatehouse left this state, with its secrets in "
                "plain text: remove the lab with `make down`, then start again"
            )
        if version != _VERSION:
            raise ValueError(f"version {version} is not {_VERSION}")

    def save(self, state: State) -> None:
        """Put the state in place of the old one, on disk before this returns."""
        self._make_folder()
        partial = self._path.with_suffix(".partial")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(self._vault.sealed(state.to_json()), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._path)
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the stack: no other run writes while the block runs, killed or not.

        Raises:
            EngineError: Another run holds it; the text says which.
        """
        self._make_folder()
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = file.read().strip() or "another run"
                raise EngineError(
                    f"{self.folder}: in use by {holder}: wait for it to end, then run this again"
                ) from error
            file.truncate(0)
            since = time.strftime("%H:%M:%S")
            file.write(f"process {os.getpid()} since {since} ({' '.join(sys.argv[1:]) or 'up'})\n")
            file.flush()
            yield

    def _make_folder(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
