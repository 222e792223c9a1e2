"""Keeps secrets out of what is printed, wherever in a text they turn up.

A value that is marked as secret is never printed as such. But a command may repeat what it was
given, and a Docker that refuses a container may quote its environment: so every line that the
engine prints is searched for the secrets that it knows of. What is derived from a secret and not
marked, or encoded in another way, is not found.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

from lab.engine.values import Secret, Unknown, Value, leaves

SHORTEST = 3
"""A shorter text is no secret worth the name, and would be found in half of all words; Pulumi's own
limit."""
_LONG_WORD = 20
"""A word so long, such as a password's hash, is a secret by itself and not only with its line."""


class Redactor:
    """Knows secrets, and takes them out of texts; every method may be called from any thread."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._lock = threading.Lock()

    def learn(self, value: Value) -> None:
        """Take note of all that is marked as secret in a value."""
        found = {
            part
            for _, leaf in leaves(value)
            if isinstance(leaf, Secret) and not isinstance(leaf.value, bool | Unknown)
            for part in parts(str(leaf.value))
        }
        with self._lock:
            if found <= self._known:
                return
            self._known |= found
            # The longest first: one secret can be a part of another.
            ordered = sorted(self._known, key=lambda part: (-len(part), part))
            self._pattern = re.compile("|".join(map(re.escape, ordered)))

    def redacted(self, text: str) -> str:
        """Return the text with `[secret]` in the place of each secret."""
        pattern = self._pattern
        return text if pattern is None else pattern.sub("[secret]", text)


def parts(secret: str) -> Iterator[str]:
    """Yield what must not be printed of a secret text.

    That is each line, the value in a line like `NAME=value`, and each long word.
    """
    for line in secret.splitlines():
        long_words = (word for word in line.split() if len(word) >= _LONG_WORD)
        for part in (line.strip(), line.partition("=")[2].strip(), *long_words):
            if len(part) >= SHORTEST:
                yield part
