"""What all parts of the keeper use: its error, waiting, and running programs."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable

POLL_SECONDS = 0.05


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


def haproxy() -> str:
    """Return where HAProxy is.

    Raises:
        EdgeError: It is not installed.
    """
    found = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise EdgeError(
            f"HAProxy is not installed on {socket.gethostname()}; run `apt-get install haproxy`"
        )
    return found
