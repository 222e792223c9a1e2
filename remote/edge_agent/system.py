"""Shared parts of the edge agent: its error, waiting, and running programs."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

POLL_SECONDS = 0.05
_ROOTS_PATH = "/usr/sbin:/usr/local/sbin"


class EdgeError(Exception):
    """The edge could not be changed; the old configuration keeps serving."""


def poll(condition: Callable[[], bool], seconds: float, pause: float = POLL_SECONDS) -> bool:
    """Return whether a condition comes true within a time; tests it with pauses."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


def run(
    *command: str,
    output: int = subprocess.PIPE,
    text: str | None = None,
    seconds: float | None = None,
    environment: Mapping[str, str] | None = None,
    umask: int = -1,
) -> subprocess.CompletedProcess[str]:
    """Run a command with both outputs in ``stdout``; bytes that are not UTF-8 become U+FFFD.

    Args:
        command: The program and its arguments.
        output: The file for both outputs.
        text: Its standard input, if it has any.
        seconds: How long it may take; code 124 if it took longer.
        environment: Variables in addition to this process's.
        umask: The umask of the program; this process's by default.
    """
    given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if text is None else {"input": text}
    try:
        return subprocess.run(
            command,
            check=False,
            **given,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=seconds,
            env={**os.environ, **(environment or {})},
            umask=umask,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, f"it takes longer than {seconds:.0f} s")


def text_of(path: Path) -> str:
    """Return the text of a file.

    Bytes that are not UTF-8 become U+FFFD. So a damaged file simply differs from the wanted one,
    and is replaced like any other.

    Raises:
        OSError: It cannot be read.
    """
    return path.read_bytes().decode(errors="replace")


def find(program: str) -> str | None:
    """Return the path of a program, also from folders that are on root's PATH only."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:{_ROOTS_PATH}")


def haproxy() -> str:
    """Return where HAProxy is.

    Raises:
        EdgeError: It is not installed.
    """
    found = find("haproxy")
    if found is None:
        raise EdgeError(f"HAProxy is no longer installed on {socket.gethostname()}")
    return found
