"""Carries single operations out: tells the ledger, asks the handler, tells the ledger again."""

from __future__ import annotations

import uuid
from collections.abc import Collection

from lab.engine.display import Display
from lab.engine.errors import EngineError, PartlyCreated, Unreachable
from lab.engine.handler import Call, Catalogue, Connection, Connections
from lab.engine.ledger import Ledger
from lab.engine.model import Resource, package_of
from lab.engine.plan import Op
from lab.engine.values import Props, plain, with_secrets


class Executor:
    """Creates, updates and deletes for real."""

    def __init__(
        self, ledger: Ledger, catalogue: Catalogue, connections: Connections, display: Display
    ) -> None:
        self._ledger = ledger
        self._catalogue = catalogue
        self._connections = connections
        self._display = display

    def create(self, new: Resource, old: Resource | None) -> None:
        """Create `new`; `old`, which it replaces, is deleted at the end unless it is gone already.

        Raises:
            EngineError: It failed. After `PartlyCreated` the state has `new` all the same.
        """
        gone = old if old is not None and old.pending_replacement else None
        condemned = old if gone is None else None
        if new.is_provider:
            new.id, new.outputs = str(uuid.uuid4()), new.inputs
            self._ledger.settle(add=new, drop=gone, condemn=condemned)
            return
        pending = self._ledger.begin("create", new)
        failure = None
        try:
            made = self._catalogue.handlers[new.type].create(
                self._connection(new), self._call(new, new.timeouts.create)
            )
            new.id, outputs = made.id, made.outputs
        except PartlyCreated as error:
            failure, new.id, outputs = error, error.identifier, error.outputs
            new.init_errors = (self._display.without_secrets(str(error)),)
        except Unreachable:
            # Whether it was made is not known, so it stays noted, and the next run looks it up.
            raise
        except EngineError:
            self._ledger.settle(pending)
            raise
        new.outputs = outputs_with_inputs(new, outputs)
        self._display.hide(new.outputs)
        self._ledger.settle(pending, add=new, drop=gone, condemn=condemned)
        if failure is not None:
            raise failure

    def update(self, new: Resource, old: Resource) -> None:
        """Turn `old` into `new` in place.

        Raises:
            EngineError: It failed; the state keeps `old`.
        """
        new.id = old.id
        if new.is_provider:
            new.outputs = new.inputs
            self._ledger.settle(add=new, drop=old)
            return
        pending = self._ledger.begin("update", new)
        try:
            outputs = self._catalogue.handlers[new.type].update(
                self._connection(new), self._call(new, new.timeouts.update), old
            )
        except EngineError:
            self._ledger.settle(pending)
            raise
        new.outputs = outputs_with_inputs(new, outputs)
        self._display.hide(new.outputs)
        self._ledger.settle(pending, add=new, drop=old)

    def delete(
        self, resource: Resource, deleted: Collection[str], *, successor_follows: bool = False
    ) -> None:
        """Delete a resource, unless it goes together with one of those in `deleted`.

        Args:
            resource: What to delete.
            deleted: The URNs of all that this run deletes.
            successor_follows: Keep it in the state as something that has to be created again.

        Raises:
            EngineError: It failed; the state keeps the resource.
        """
        drop = None if successor_follows else resource
        counts = not (successor_follows or resource.delete)
        if not resource.custom:
            if counts:
                self._display.count(Op.DELETE)
            self._ledger.settle(drop=drop)
            return
        with self._display.operation(Op.DELETE, resource.type, resource.name, counts=counts):
            pending = None
            if not resource.is_provider and resource.deleted_with not in deleted:
                pending = self._ledger.begin("delete", resource)
                try:
                    self._catalogue.handlers[resource.type].delete(
                        self._connection(resource),
                        self._call(resource, resource.timeouts.delete),
                        resource,
                    )
                except EngineError:
                    self._ledger.settle(pending)
                    raise
            resource.pending_replacement = successor_follows
            self._ledger.settle(pending, drop=drop)

    def _connection(self, resource: Resource) -> Connection:
        return self._connections.to(
            package_of(resource.type), self._ledger.provider_inputs(resource)
        )

    def _call(self, resource: Resource, timeout: float | None) -> Call:
        return Call(
            name=resource.name,
            inputs=plain(resource.inputs),
            say=lambda text: self._display.line(f"    {resource.name}: {text}"),
            timeout=timeout,
            hushed=frozenset(resource.additional_secret_outputs),
        )


def outputs_with_inputs(resource: Resource, outputs: Props) -> Props:
    """Return a resource's outputs: its inputs, what was made of them, and what of it is secret."""
    return with_secrets(
        {**plain(resource.inputs), **outputs},
        resource.inputs,
        resource.additional_secret_outputs,
    )
