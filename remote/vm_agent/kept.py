"""A document of the agent with a copy in a file."""

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from remote.files import part_of, staged
from remote.vm_agent.container import SAID

SAVE_SECONDS = 1.0
"""Seconds after which a file that could not be written is tried again."""


class Kept:
    """A document with a copy in a file. A full disk only delays the copy.

    Args:
        file: The file.
        document: Returns the content for it.
        misleads: Whether an old copy is worse than none. It is then deleted while there can be no
            new one.
    """

    def __init__(
        self, file: Path, document: Callable[[], object], *, misleads: bool = False
    ) -> None:
        self._file = file
        self._misleads = misleads
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
            clear(self._file)
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
        text = json.dumps(self._document())
        try:
            write(self._file, text, mode=0o600)
        except OSError as error:
            if _overwritten(self._file, text):
                return True
            if self._misleads:
                with contextlib.suppress(OSError):
                    self._file.unlink()
            if not self._late:
                print(f"{self._file} cannot be written yet, tried again: {error}", flush=True)
            return False
        return True


def write(file: Path, text: str, mode: int) -> None:
    """Replace a file, durably and with the rights ``mode``; a folder in its place is moved aside.

    Raises:
        OSError: It is as it was.
    """
    clear(part_of(file))
    with staged({file: text}, mode=mode):
        clear(file)


def _overwritten(file: Path, text: str) -> bool:
    """Write a JSON document over a file, which needs neither space nor an inode.

    Its first byte is written last. Until then, the file is no JSON, so that nobody believes a part
    of it.

    Returns:
        Whether it could; if not, the file is as it was, or no JSON.
    """
    data = text.encode()
    try:
        with file.open("r+b", buffering=0) as opened:
            if len(data) > os.fstat(opened.fileno()).st_blocks * 512:
                return False
            opened.truncate(len(data))
            for part, start in ((b"!", 0), (data[1:], 1), (data[:1], 0)):
                if os.pwrite(opened.fileno(), part, start) != len(part):
                    return False
    except OSError:
        return False
    return True


def clear(path: Path) -> None:
    """Move what is not a file out of the way of one, such as a folder that Docker has made.

    Raises:
        OSError: It cannot be moved.
    """
    if os.path.lexists(path) and not path.is_file():
        move_aside(path)


def move_aside(path: Path) -> None:
    """Give what is in the way another name.

    Raises:
        OSError: It cannot be moved.
    """
    aside = path.with_name(f"{path.name}.aside-{time.time_ns()}")
    print(f"{path} is in the way; moved to {aside.name}", flush=True)
    path.rename(aside)
