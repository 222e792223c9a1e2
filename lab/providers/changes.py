"""The difference between two sets of inputs, and the answer that the engine gets."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pulumi.runtime.proto import provider_pb2 as wire

from lab.providers.schema import Schema
from lab.providers.values import UNKNOWN, Path, Props, Value, canonical, leaves, show_path

_KINDS = {
    "add": (wire.PropertyDiff.ADD, wire.PropertyDiff.ADD_REPLACE),
    "delete": (wire.PropertyDiff.DELETE, wire.PropertyDiff.DELETE_REPLACE),
    "update": (wire.PropertyDiff.UPDATE, wire.PropertyDiff.UPDATE_REPLACE),
}


@dataclass(frozen=True)
class Change:
    """One input that differs. `old` or `new` is None where there is none."""

    path: Path
    old: Value
    new: Value

    @property
    def kind(self) -> str:
        """Whether it was added, deleted or updated."""
        return "add" if self.old is None else "delete" if self.new is None else "update"


def changes_between(
    old: Props, new: Props, unordered: Collection[str] = frozenset()
) -> list[Change]:
    """Return what differs between two sets of inputs, the innermost values by their paths."""
    before = dict(leaves(_sorted_sets(old, unordered)))
    after = dict(leaves(_sorted_sets(new, unordered)))
    return [
        Change(path, before.get(path), after.get(path))
        for path in [*before, *(path for path in after if path not in before)]
        if UNKNOWN in (before.get(path), after.get(path)) or before.get(path) != after.get(path)
    ]


def _sorted_sets(inputs: Props, unordered: Collection[str]) -> Props:
    return {
        key: sorted(value, key=canonical) if key in unordered and isinstance(value, list) else value
        for key, value in inputs.items()
    }


def difference(schema: Schema, old: Props, new: Props, *, named: bool) -> wire.DiffResponse:
    """Return the answer to the engine's request `Diff` for a resource.

    Args:
        schema: Its type.
        old: The inputs that it has.
        new: The inputs that it is to have.
        named: Whether the program chose its name: two with that name cannot exist at once.
    """
    changes = changes_between(old, new, schema.unordered)
    if not changes:
        return wire.DiffResponse(changes=wire.DiffResponse.DIFF_NONE)
    replacing = {
        change.path: schema.forces_replacement(change.path, counted=change.kind != "update")
        for change in changes
    }
    return wire.DiffResponse(
        changes=wire.DiffResponse.DIFF_SOME,
        hasDetailedDiff=True,
        detailedDiff={
            show_path(change.path): wire.PropertyDiff(
                kind=_KINDS[change.kind][replacing[change.path]], inputDiff=True
            )
            for change in changes
        },
        diffs=sorted({str(change.path[0]) for change in changes}),
        replaces=sorted({str(path[0]) for path, replaces in replacing.items() if replaces}),
        deleteBeforeReplace=any(replacing.values()) and (named or schema.delete_before_replace),
    )
