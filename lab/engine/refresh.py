"""Refresh and recovery: bring the state in line with what really exists, before anything else."""

from __future__ import annotations

import fnmatch
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from lab.engine.display import Display
from lab.engine.errors import EngineError, Unreachable
from lab.engine.executor import outputs_with_inputs
from lab.engine.handler import Call, Catalogue, Connections
from lab.engine.model import Resource, copy_of, package_of
from lab.engine.state import Pending, State
from lab.engine.values import Props, Secret, has_secret, plain

REFRESH_SECONDS = 300
"""How long a refresh goes on asking what does not answer: a VM that boots on an emulated CPU
answers after about 100 s."""
_RETRY_SECONDS = 2.0


class Reality:
    """Reads what the state speaks of."""

    def __init__(
        self, catalogue: Catalogue, connections: Connections, display: Display, limit: float
    ) -> None:
        self._catalogue = catalogue
        self._connections = connections
        self._display = display
        self._deadline = time.monotonic() + limit
        self._limit = limit
        self._waiting = threading.Event()

    def refresh(self, state: State, target_types: Iterable[str] = ()) -> State:
        """Return the state as it really is: without what is gone, with what drifted.

        Resources of one type and provider are read together, different ones at once.

        Raises:
            EngineError: Something could not be read within the time limit.
        """
        self._hide(state)
        targets = tuple(target_types)
        groups: defaultdict[tuple[str, str], list[Resource]] = defaultdict(list)
        for resource in state.resources:
            if (
                resource.custom
                and not resource.is_provider
                and not resource.pending_replacement
                and (not targets or any(fnmatch.fnmatchcase(resource.type, t) for t in targets))
            ):
                groups[resource.provider, resource.type].append(resource)
        real: dict[int, Resource | None] = {}
        with ThreadPoolExecutor(max(1, len(groups)), thread_name_prefix="refresh") as pool:
            for group, found in zip(
                groups.values(),
                pool.map(lambda group: self._read(state, group), groups.values()),
                strict=True,
            ):
                real |= {id(was): now for was, now in zip(group, found, strict=True)}
        resources = []
        for resource in state.resources:
            now = real.get(id(resource), resource)
            if now is None:
                self._display.line(f" ?? {resource.type} {resource.name} is gone")
                continue
            drifted = sorted(
                key
                for key in {*now.inputs, *resource.inputs}
                if plain(now.inputs.get(key)) != plain(resource.inputs.get(key))
            )
            if drifted:
                self._display.line(
                    f" ?? {resource.type} {resource.name} has changed: {', '.join(drifted)}"
                )
            resources.append(now)
        return State(resources=resources, pending=state.pending, outputs=state.outputs)

    def _read(self, state: State, group: list[Resource]) -> list[Resource | None]:
        first = group[0]
        handler = self._catalogue.handlers[first.type]
        inputs = _provider_inputs(state, first)
        if inputs is None:
            raise EngineError(f"{first.name}: its provider {first.provider} is not in the state")
        while True:
            try:
                connection = self._connections.to(package_of(first.type), inputs)
                found = handler.read(connection, group)
                break
            except Unreachable as error:
                if time.monotonic() > self._deadline:
                    raise EngineError(
                        f"{first.name}: not read within {self._limit:.0f} s: {error}"
                    ) from error
                if not self._waiting.is_set():
                    self._waiting.set()
                    self._display.line(f" .. waiting to read {first.name}: {error}")
                time.sleep(_RETRY_SECONDS)
            except EngineError as error:
                raise EngineError(f"{first.name}: cannot be read: {error}") from error
        return [now and _as_secret_as(was, now) for was, now in zip(group, found, strict=True)]

    def recover(self, state: State) -> State:
        """Return the state without the operations that a run before this one left open.

        What a creation may have left is looked up by the name that was noted before it began, and
        deleted; the program asks for it again. Open updates and deletions need nothing: the state
        has what was there before, and they are simply done again. What cannot be asked stays noted.

        Raises:
            EngineError: Something that was left could not be deleted.
        """
        self._hide(state)
        left = []
        for pending in state.pending:
            name = f"{pending.resource.type} {pending.resource.name}"
            self._display.line(f" ?? the last run was cut short at: {pending.kind} {name}")
            if pending.kind != "create":
                continue
            try:
                self._clear(state, pending)
            except Unreachable as error:
                self._display.line(f" ?? {name}: stays noted, as it cannot be looked up: {error}")
                left.append(pending)
        return State(resources=state.resources, pending=left, outputs=state.outputs)

    def _hide(self, state: State) -> None:
        for resource in (*state.resources, *(pending.resource for pending in state.pending)):
            self._display.hide(resource.inputs, resource.outputs)

    def _clear(self, state: State, pending: Pending) -> None:
        resource = pending.resource
        handler = self._catalogue.handlers.get(resource.type)
        inputs = _provider_inputs(state, resource)
        if handler is None or inputs is None:
            # A provider leaves no trace; and what a provider managed goes with it.
            return
        connection = self._connections.to(package_of(resource.type), inputs)
        found = handler.find(connection, resource)
        if found is not None:
            self._display.line(f" ?? {resource.type} {resource.name}: deleting what it left")
            handler.delete(
                connection,
                Call(name=resource.name, inputs=plain(found.inputs), say=self._display.line),
                found,
            )


def _as_secret_as(was: Resource, now: Resource) -> Resource:
    """Return what was read, with that marked as secret which was secret before it was read."""
    lost = {
        key
        for key, value in now.inputs.items()
        if has_secret(was.inputs.get(key)) and not has_secret(value)
    }
    inputs = {key: Secret(value) if key in lost else value for key, value in now.inputs.items()}
    now = copy_of(now, inputs=inputs)
    return copy_of(now, outputs=outputs_with_inputs(now, plain(now.outputs)))


def _provider_inputs(state: State, resource: Resource) -> Props | None:
    if not resource.provider:
        return {}
    for candidate in state.resources:
        if candidate.reference == resource.provider:
            return candidate.inputs
    return None
