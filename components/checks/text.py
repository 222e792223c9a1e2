"""Parts of messages that several checks use."""

from collections.abc import Iterable, Sequence


def twice(path: str, values: Sequence[str], key: str = "") -> Iterable[str]:
    """Yield a problem for each value of a list that an earlier entry has too.

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
    """Return a value as YAML has it; maps and lists only by their kind."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value
    return "a list" if isinstance(value, tuple) else "a map"
