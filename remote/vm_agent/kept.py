"""A document of the agent with a copy in a file."""

import contextlib
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from remote.vm_agent.container import SAID

SAVE_SECONDS = 1.0
"""Seconds after which a file that could not be written is tried again."""


class Kept:
    """A document with a copy in a file. A full disk only delays the copy."""

    def __init__(self, file: Path, document: Callable[[], object]) -> None:
        self._file = file
        self._document = document
        """Returns the content for the file; any thread may call it."""
        self._lock = threading.Lock()
        self._late = False

    def read(self, understand: Callable[[Any], None]) -> bool:
        """Have ``understand`` take up what is in the file.

        Returns:
            Whether it could; what cannot be read is put aside.
        """
        try:
            understand(json.loads(self._file.read_text()))
        except FileNotFoundError:
            return False
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            aside = self._file.with_suffix(".unreadable")
            print(f"{self._file} cannot be read; moved to {aside.name}: {error!r}", flush=True)
            with contextlib.suppress(OSError):
                self._file.replace(aside)
            return False
        return True

    def drop(self, odd: list[object]) -> None:
        """Report the invalid entries of the file, if there are any."""
        if odd:
            said = ", ".join(map(repr, odd))
            more = "…" if len(said) > SAID else ""
            print(
                f"{self._file}: {len(odd)} invalid entries are ignored: {said[:SAID]}{more}",
                flush=True,
            )

    def save(self) -> None:
        """Write the document, now or as soon as that is possible."""
        with self._lock:
            if not self._late and not self._saved():
                self._late = True
                threading.Thread(target=self._save_late, daemon=True).start()

    def _save_late(self) -> None:
        while True:
            time.sleep(SAVE_SECONDS)
            with self._lock:
                if self._saved():
                    self._late = False
                    return

    def _saved(self) -> bool:
        try:
            write(self._file, json.dumps(self._document()), mode=0o600)
        except OSError as error:
            if not self._late:
                print(f"{self._file} cannot be written yet, tried again: {error}", flush=True)
            return False
        return True


def write(file: Path, text: str, mode: int) -> None:
    """Write a file atomically, with the rights ``mode``.

    Raises:
        OSError: It is as it was.
    """
    partial = file.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    try:
        partial.touch(mode=0o600)
        partial.write_text(text)
        partial.chmod(mode)
        partial.replace(file)
    except OSError:
        partial.unlink(missing_ok=True)  # what there is of it takes space too
        raise
