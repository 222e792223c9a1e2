"""The decisions, as plain functions: what to do with a resource, and in which order to delete.

They follow Pulumi's step generator (3.260): what is compared, in which order the reasons for a
replacement count, and when the old one is deleted first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from lab.engine.model import Goal, Resource, provider_urn
from lab.engine.schema import Schema
from lab.engine.values import (
    UNKNOWN,
    Path,
    Props,
    Secret,
    Value,
    canonical,
    contains,
    get_path,
    has_unknown,
    leaves,
    parse_path,
    plain,
    with_path,
)


class Op(Enum):
    """What becomes of a resource."""

    SAME = " "
    CREATE = "+"
    UPDATE = "~"
    REPLACE = "+-"
    DELETE = "-"


@dataclass(frozen=True)
class Change:
    """One input that differs. `old` or `new` is None where there is none."""

    path: Path
    old: Value
    new: Value
    replaces: bool = False


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What to do with a registered resource, and why."""

    op: Op
    changes: tuple[Change, ...] = ()
    reason: str = ""
    """Why it is replaced or updated when that is not the inputs' doing."""
    delete_first: bool = False


def changes_between(
    old: Props, new: Props, unordered: Collection[str] = frozenset()
) -> list[tuple[Change, bool]]:
    """Return what differs between two sets of inputs, each with whether an element came or went."""
    before = dict(leaves(_sorted_sets(old, unordered)))
    after = dict(leaves(_sorted_sets(new, unordered)))
    found = []
    for path in [*before, *(path for path in after if path not in before)]:
        one, other = before.get(path), after.get(path)
        if plain(one) is UNKNOWN or plain(other) is UNKNOWN or plain(one) != plain(other):
            found.append((Change(path, one, other), one is None or other is None))
    return found


def _sorted_sets(inputs: Props, unordered: Collection[str]) -> Props:
    return {key: _sorted(value) if key in unordered else value for key, value in inputs.items()}


def _sorted(value: Value) -> Value:
    if isinstance(value, Secret):
        return Secret(_sorted(value.value))
    return sorted(value, key=canonical) if isinstance(value, list) else value


def keep_ignored(inputs: Props, old: Props, ignored: Iterable[str]) -> Props:
    """Return the inputs with the old values at the paths that `ignore_changes` names."""
    for text in ignored:
        path = parse_path(text)
        inputs = with_path(inputs, path, get_path(old, path))
    return inputs


def triggered(old: Value, new: Value) -> bool:
    """Return whether another replacement trigger replaces; having none on one side does not."""
    if has_unknown(old) or has_unknown(new):
        return True
    old, new = plain(old), plain(new)
    return old is not None and new is not None and old != new


def decide(
    goal: Goal,
    inputs: Props,
    old: Resource | None,
    schema: Schema | None,
    replaced: Collection[str],
) -> Verdict:
    """Decide what to do with a registration.

    Args:
        goal: What the program registered.
        inputs: Its inputs as checked and named, with the ignored changes taken back.
        old: What the state has under its URN, if anything.
        schema: What its type is like; None for components and providers.
        replaced: The URNs that this run replaces so far.
    """
    if old is None:
        return Verdict(op=Op.CREATE)
    if old.custom != goal.custom:
        return Verdict(op=Op.REPLACE, reason="it is another kind of resource now")
    verdict = _by_inputs(goal, inputs, old, schema)
    why = _replaced_for_others(goal, old, replaced)
    if why:
        # The provider is not asked then, so its wish to delete first does not count.
        return Verdict(
            op=Op.REPLACE,
            changes=verdict.changes,
            reason=why,
            delete_first=bool(goal.delete_before_replace),
        )
    if old.pending_replacement and verdict.op is not Op.REPLACE:
        return Verdict(op=Op.REPLACE, reason="its predecessor is deleted already")
    if verdict.op is Op.SAME and old.init_errors:
        return Verdict(op=Op.UPDATE, reason=f"last time: {'; '.join(old.init_errors)}")
    return verdict


def _replaced_for_others(goal: Goal, old: Resource, replaced: Collection[str]) -> str:
    if triggered(old.replacement_trigger, goal.replacement_trigger):
        return "replacement trigger"
    for urn in goal.replace_with:
        if urn in replaced:
            return f"replaced with {urn.rpartition('::')[2]}"
    if goal.deleted_with in replaced:
        return f"deleted with {goal.deleted_with.rpartition('::')[2]}"
    return ""


def _by_inputs(goal: Goal, inputs: Props, old: Resource, schema: Schema | None) -> Verdict:
    patterns = [parse_path(text) for text in goal.replace_on_changes]
    changes = tuple(
        Change(
            change.path,
            change.old,
            change.new,
            replaces=(
                schema is not None and schema.forces_replacement(change.path, counted=counted)
            )
            or any(contains(pattern, change.path) for pattern in patterns),
        )
        for change, counted in changes_between(
            old.inputs, inputs, schema.unordered if schema else frozenset()
        )
    )
    if not changes:
        return Verdict(op=Op.SAME)
    if not any(change.replaces for change in changes):
        return Verdict(op=Op.UPDATE, changes=changes)
    # A name that the program gave cannot be there twice; one that the engine gave is made anew.
    named = schema is not None and schema.autonamed and not old.autonamed
    first = goal.delete_before_replace
    if first is None:
        first = named or (schema is not None and schema.delete_before_replace)
    return Verdict(op=Op.REPLACE, changes=changes, delete_first=first)


def dependents_to_replace(
    root: Resource, olds: Sequence[Resource], schemas: dict[str, Schema], done: Collection[str]
) -> list[Resource]:
    """Return what has to be deleted before `root` can be, in the order of `olds`.

    Those are the resources that its successor would replace anyway: the ones it manages as a
    provider, the ones deleted or replaced with it, and the ones with an input that comes from it
    and forces a replacement.

    Args:
        root: What is deleted before its successor exists.
        olds: The state before this run, dependencies first.
        schemas: The resource types by their token.
        done: The URNs that this run has dealt with already; they cannot depend on `root`.
    """
    replaced = {root.urn}
    found = []
    for resource in olds[olds.index(root) + 1 :]:
        if resource.urn in done or not resource.custom or resource.pending_replacement:
            continue
        if (
            provider_urn(resource.provider) in replaced
            or resource.deleted_with in replaced
            or root.urn in resource.replace_with
            or _input_comes_from(resource, replaced, schemas.get(resource.type))
        ):
            found.append(resource)
            replaced.add(resource.urn)
    return found


def _input_comes_from(resource: Resource, replaced: set[str], schema: Schema | None) -> bool:
    patterns = [parse_path(text) for text in resource.replace_on_changes]
    return any(
        (schema is not None and schema.forces_replacement((key,), counted=True))
        or any(pattern[0] == key for pattern in patterns)
        for key, urns in resource.property_dependencies.items()
        if replaced & set(urns)
    )


def delete_order(condemned: Sequence[Resource]) -> list[list[Resource]]:
    """Return the resources in rounds: each round can go at once, what others need goes last."""
    rounds = []
    left = list(condemned)
    while left:
        needed: set[str] = set()
        for resource in left:
            needed |= resource.needs() - {resource.urn}
        free = [resource for resource in left if resource.urn not in needed]
        # Two generations of a URN can seem to need each other; the state's order tells then.
        free = free or [left[-1]]
        rounds.append(free)
        left = [resource for resource in left if not any(resource is one for one in free)]
    return rounds


def hidden(change: Change) -> bool:
    """Return whether a change must not be shown."""
    return isinstance(change.old, Secret) or isinstance(change.new, Secret)
