"""Parts of messages that several checks use."""

import json
import re
from collections.abc import Iterable, Sequence


def twice(path: str, values: Sequence[str], key: str = "") -> Iterable[str]:
    """Yield a problem for each value of a list that repeats an earlier one.

    Args:
        path: The list's.
        values: One of each entry.
        key: The key within an entry that has the value; none if the entry is the value.
    """
    seen: set[str] = set()
    for index, value in enumerate(values):
        if value in seen:
            where = f"{path}.{index}.{key}" if key else f"{path}.{index}"
            yield f"{where}: is given twice (got {value})"
        seen.add(value)


def shown(value: object) -> str:
    """Return a value as YAML, or the word for a map or list."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value
    return "a list" if isinstance(value, tuple) else "a map"


def part(key: str) -> str:
    """Return a key as a part of a path, in quotes if it would be ambiguous."""
    if is_hash(key):
        return '"a hash"'
    return key if re.fullmatch(r"[A-Za-z0-9_./:@-]{1,100}", key) else cut(json.dumps(key))


def is_hash(value: object) -> bool:
    """Whether a value looks like a hash of crypt(3), which is a secret under any key."""
    return isinstance(value, str) and re.match(r"\$[0-9a-z]{1,4}\$", value) is not None


def cut(text: str) -> str:
    """Return the first 80 characters, with dots at the end of a longer text."""
    return text if len(text) <= 80 else f"{text[:77]}..."
