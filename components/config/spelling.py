"""Which known word a misspelt one was meant to be."""

from collections.abc import Iterable

_SHORTEST = 3
_PREFIX = 4
"""The fewest letters of a word that may be the beginning of a longer one."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the only known word that ``word`` may be a typo of; None if there are none or two.

    A typo is a letter that is missing, added, changed or swapped with the next one; words of six
    letters or more may have two. A word that is cut short also counts.
    """
    if not _SHORTEST <= len(word) <= 100:
        return None
    words = tuple(known)
    for slips in (1, 2) if len(word) > 5 else (1,):
        found = [each for each in words if distance(word, each) <= slips]
        if found:
            return found[0] if len(found) == 1 else None
    found = [each for each in words if len(word) >= _PREFIX and each.startswith(word)]
    return found[0] if len(found) == 1 else None


def distance(one: str, other: str) -> int:
    """Return the number of typos between two words: their optimal string alignment distance."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        older, before, row = before, row, [i]
        for j, another in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != another))
            if i > 1 and j > 1 and (letter, one[i - 2]) == (other[j - 2], another):
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
    return row[-1]
