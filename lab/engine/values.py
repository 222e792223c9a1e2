"""Property values as the engine keeps them: plain JSON, plus `Secret` and `UNKNOWN`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from pulumi.runtime import rpc

# The wire format's own marks; the SDK has them under these names only.
_SIGNATURE: Final[str] = rpc._special_sig_key  # noqa: SLF001
_SECRET: Final[str] = rpc._special_secret_sig  # noqa: SLF001
_WIRE_UNKNOWN: Final[str] = rpc.UNKNOWN

Value: TypeAlias = Any
"""None, bool, int, float, str, a list or a string-keyed dict of values, `Secret` or `UNKNOWN`."""
Props: TypeAlias = dict[str, Value]
Path: TypeAlias = tuple[str | int, ...]
"""Where a value sits in a resource's properties; in patterns `"*"` matches one step."""


class Unknown:
    """The type of `UNKNOWN`: a value that only an `up` will tell."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()


@dataclass(frozen=True)
class Secret:
    """A value that is never printed."""

    value: Value

    def __repr__(self) -> str:
        return "[secret]"


def from_wire(value: Value) -> Value:
    """Turn what the SDK sends, as plain Python, into the engine's values.

    Raises:
        ValueError: It is an asset, an archive or a resource, which have no meaning here.
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if value == _WIRE_UNKNOWN:
        return UNKNOWN
    if isinstance(value, list):
        return [from_wire(item) for item in value]
    if isinstance(value, dict):
        if _SIGNATURE not in value:
            # The wire has no order; a sorted one makes every run and every listing alike.
            return {key: from_wire(value[key]) for key in sorted(value) if value[key] is not None}
        if is_secret(value):
            inner = from_wire(value["value"])
            return inner if isinstance(inner, Secret) else Secret(inner)
        raise ValueError("assets, archives and resources as property values are not implemented")
    return value


def to_wire(value: Value) -> Value:
    """Turn a value into what the SDK understands; also the form in the state file."""
    if value is UNKNOWN:
        return _WIRE_UNKNOWN
    if isinstance(value, Secret):
        return {_SIGNATURE: _SECRET, "value": to_wire(value.value)}
    if isinstance(value, list):
        return [to_wire(item) for item in value]
    if isinstance(value, dict):
        return {key: to_wire(item) for key, item in value.items()}
    return value


def is_secret(wire: Mapping[str, Any]) -> bool:
    """Return whether an object is, in the form that `to_wire` makes, a secret."""
    return wire.get(_SIGNATURE) == _SECRET


def plain(value: Value) -> Value:
    """Return the value without its `Secret` wrappers, as a provider gets it."""
    if isinstance(value, Secret):
        return plain(value.value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def _any(value: Value, wanted: Callable[[Value], bool]) -> bool:
    if wanted(value):
        return True
    if isinstance(value, Secret):
        return _any(value.value, wanted)
    if isinstance(value, dict):
        return any(_any(item, wanted) for item in value.values())
    return isinstance(value, list) and any(_any(item, wanted) for item in value)


def has_secret(value: Value) -> bool:
    """Return whether anything in the value is secret."""
    return _any(value, lambda item: isinstance(item, Secret))


def has_unknown(value: Value) -> bool:
    """Return whether anything in the value is known only at `up`."""
    return _any(value, lambda item: item is UNKNOWN)


def canonical(value: Value) -> str:
    """Return one text for equal values, for comparing and sorting."""
    return json.dumps(to_wire(plain(value)), sort_keys=True)


def with_secrets(outputs: Props, inputs: Props, names: Iterable[str]) -> Props:
    """Mark outputs as secret: those in `names`, and those whose input of the same name is secret.

    That is how Pulumi's engine and the command provider carry secretness over.
    """
    secret = {key for key, value in inputs.items() if has_secret(value)} | set(names)
    return {key: Secret(plain(value)) if key in secret else value for key, value in outputs.items()}


def leaves(value: Value, path: Path = ()) -> Iterator[tuple[Path, Value]]:
    """Yield each innermost value with its path. Empty lists and objects have none.

    A secret object yields its leaves as secrets.
    """
    if isinstance(value, Secret):
        for inner, leaf in leaves(value.value, path):
            yield inner, leaf if isinstance(leaf, Secret) else Secret(leaf)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    elif value is not None:
        yield path, value


def show_path(path: Path) -> str:
    """Return a path as Pulumi writes it: `labels[0].value`, `environment["a.b"]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.fullmatch(r"[\w*-]+", step):
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(step)}]"
    return text


_STEP = re.compile(r'\.?([\w*-]+)|\[(\d+|\*)\]|\[("(?:[^"\\]|\\.)*")\]')


def parse_path(text: str) -> Path:
    """Read a path as `ignore_changes` and `replace_on_changes` have it.

    Raises:
        ValueError: It is not a property path.
    """
    steps: list[str | int] = []
    at = 0
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None:
            raise ValueError(f"{text!r} is not a property path")
        name, index, quoted = found.groups()
        if quoted is not None:
            steps.append(str(json.loads(quoted)))
        elif index is not None:
            steps.append("*" if index == "*" else int(index))
        else:
            steps.append(name)
        at = found.end()
    if not steps:
        raise ValueError("an empty text is not a property path")
    return tuple(steps)


def contains(pattern: Path, path: Path) -> bool:
    """Return whether `path` is the place that `pattern` names, or inside of it."""
    return len(pattern) <= len(path) and all(
        want in ("*", have) for want, have in zip(pattern, path, strict=False)
    )


def get_path(value: Value, path: Path) -> Value:
    """Return what is at `path`, or None. What is inside of a secret is secret."""
    hidden = False
    for step in path:
        if isinstance(value, Secret):
            value, hidden = value.value, True
        if isinstance(step, int):
            if not isinstance(value, list) or step >= len(value):
                return None
            value = value[step]
        else:
            if not isinstance(value, dict):
                return None
            value = value.get(step)
    return Secret(value) if hidden and not isinstance(value, Secret | None) else value


def with_path(value: Value, path: Path, new: Value) -> Value:
    """Return a copy of `value` with `new` at `path`; None takes the place away.

    Where the way to `path` does not exist, the copy is equal to `value`.
    """
    if not path:
        return new
    if isinstance(value, Secret):
        return Secret(with_path(value.value, path, new))
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        if not isinstance(value, list) or step >= len(value):
            return value
        return [with_path(item, rest, new) if i == step else item for i, item in enumerate(value)]
    if not isinstance(value, dict) or (rest and step not in value):
        return value
    changed = {**value, step: with_path(value.get(step), rest, new)}
    return {key: item for key, item in changed.items() if item is not None}
