"""The state while a run changes it: what is dealt with, what is left, what is about to be done."""

from __future__ import annotations

import threading
from collections.abc import Collection

from lab.engine.errors import EngineError
from lab.engine.model import Resource
from lab.engine.state import Pending, State, StateFile
from lab.engine.values import Props


class Ledger:
    """Keeps the state in memory and on disk; every method may be called from any thread."""

    def __init__(self, file: StateFile, *, read_only: bool) -> None:
        state = file.load()
        self._file = file
        self._read_only = read_only
        self._lock = threading.RLock()
        self._news: dict[str, Resource] = {}
        self._left = list(state.resources)
        self._pending = list(state.pending)
        self._outputs = state.outputs
        self.exported_before = state.outputs
        """What the program had exported before the run."""
        self.before = tuple(state.resources)
        """The state before the run, dependencies first."""
        self.olds = {item.urn: item for item in state.resources if not item.delete}
        """The resources before the run by their URN."""

    def left(self) -> list[Resource]:
        """Return what of the old state has neither been taken over nor deleted."""
        with self._lock:
            return list(self._left)

    def new(self, urn: str) -> Resource | None:
        """Return what this run has registered under a URN."""
        with self._lock:
            return self._news.get(urn)

    def begin(self, kind: str, resource: Resource) -> Pending:
        """Note on disk that an operation is about to begin."""
        pending = Pending(kind=kind, resource=resource)
        with self._lock:
            self._pending.append(pending)
            self._save()
        return pending

    def settle(
        self,
        pending: Pending | None = None,
        *,
        add: Resource | None = None,
        drop: Resource | None = None,
        condemn: Resource | None = None,
    ) -> None:
        """Note on disk, all at once, that an operation is over and what came of it.

        Args:
            pending: The operation that is over, whether it succeeded or not.
            add: The resource as it is now.
            drop: The old resource that is gone, or that `add` goes on as.
            condemn: The old resource that is to be deleted at the end.
        """
        with self._lock:
            self._pending = [item for item in self._pending if item is not pending]
            self._left = [item for item in self._left if item is not drop]
            if add is not None:
                self._news[add.urn] = add
            if condemn is not None:
                condemn.delete = True
            self._save()

    def set_outputs(self, outputs: Props) -> None:
        """Keep what the program exported."""
        with self._lock:
            self._outputs = outputs
            self._save()

    def forget(self, deleted: Collection[str]) -> None:
        """Drop the open operations of earlier runs on what went together with something deleted."""
        with self._lock:
            self._pending = [
                item for item in self._pending if item.resource.deleted_with not in deleted
            ]
            self._save()

    def provider_inputs(self, resource: Resource) -> Props:
        """Return the configuration of the provider that manages a resource.

        Raises:
            EngineError: The provider is not in the state.
        """
        if not resource.provider:
            return {}
        with self._lock:
            for candidate in (*self._news.values(), *self._left):
                if candidate.reference == resource.provider:
                    return candidate.inputs
        raise EngineError(f"its provider {resource.provider} is not in the state")

    def _save(self) -> None:
        if not self._read_only:
            self._file.save(
                State(
                    resources=[*self._news.values(), *self._left],
                    pending=self._pending,
                    outputs=self._outputs,
                )
            )
