"""Property values as a provider plugin gets them: plain JSON, plus `UNKNOWN`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from pulumi.runtime import rpc

# The wire format's own marks; the SDK has them under these names only.
_SIGNATURE: Final[str] = rpc._special_sig_key  # noqa: SLF001
_SECRET: Final[str] = rpc._special_secret_sig  # noqa: SLF001
_WIRE_UNKNOWN: Final[str] = rpc.UNKNOWN

Value: TypeAlias = Any
"""None, bool, int, float, str, a list or a string-keyed dict of values, or `UNKNOWN`."""
Props: TypeAlias = dict[str, Value]
Path: TypeAlias = tuple[str | int, ...]
"""Where a value sits in a resource's properties; in patterns `"*"` matches one step."""


class Unknown:
    """The type of `UNKNOWN`: a value that is known only during `up`."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()


def from_wire(value: Value) -> Value:
    """Turn the engine's plain Python values into `Value`.

    A secret becomes its plain value: the engine marks the results itself.

    Raises:
        ValueError: It is an asset, an archive or a resource, which the stand-ins do not support.
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if value == _WIRE_UNKNOWN:
        return UNKNOWN
    if isinstance(value, list):
        return [from_wire(item) for item in value]
    if isinstance(value, dict):
        if _SIGNATURE not in value:
            # The wire has no order; sorting makes all runs and listings alike.
            return {key: from_wire(value[key]) for key in sorted(value) if value[key] is not None}
        if value[_SIGNATURE] == _SECRET:
            return from_wire(value["value"])
        raise ValueError("assets, archives and resources as property values are not implemented")
    return value


def to_wire(value: Value) -> Value:
    """Turn a value into the engine's form."""
    if value is UNKNOWN:
        return _WIRE_UNKNOWN
    if isinstance(value, list):
        return [to_wire(item) for item in value]
    if isinstance(value, dict):
        return {key: to_wire(item) for key, item in value.items()}
    return value


def has_unknown(value: Value) -> bool:
    """Return whether anything in the value is known only at `up`."""
    if isinstance(value, dict):
        return any(has_unknown(item) for item in value.values())
    return value is UNKNOWN or (isinstance(value, list) and any(map(has_unknown, value)))


def canonical(value: Value) -> str:
    """Return a text for sorting, the same for equal values."""
    return json.dumps(to_wire(value), sort_keys=True)


def leaves(value: Value, path: Path = ()) -> Iterator[tuple[Path, Value]]:
    """Yield each innermost value with its path. Empty lists and objects have none."""
    if isinstance(value, Mapping):
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
    """Read a path as `show_path` writes it.

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
