"""What all parts of the keeper use: its error, waiting, and running programs."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable

POLL_SECONDS = 0.05
_ROOTS_PATH = "/usr/sbin:/usr/local/sbin"


class EdgeError(Exception):
    """The edge could not be changed; the old one goes on serving."""


def poll(condition: Callable[[], bool], seconds: float, pause: float = POLL_SECONDS) -> bool:
    """Return whether the condition came true within the time, asked with pauses between."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


def run(*command: str, output: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """Run a command with both outputs in ``stdout``."""
    return subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
    )


def find(program: str) -> str | None:
    """Return where a program is, which for some is where only root looks."""
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
