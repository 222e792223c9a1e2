"""The wait until a container answers HTTP.

It asks the container's own address, because its port need not be published. Docker's state
"running" is not enough: a container that fails and restarts in a loop has it too.
"""

import http.client
import subprocess
import time
import urllib.request

from remote.vm_agent.errors import AgentError

_ADDRESS = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
_LOG_LINES = "15"
_DOCKER_SECONDS = 30.0
"""For Docker to answer: without a limit, a log that does not end would hold up the update."""


def docker(*words: str) -> tuple[bool, str]:
    """Return whether a command of Docker's ended well in time, and what it printed."""
    try:
        done = subprocess.run(
            ("docker", *words),
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_DOCKER_SECONDS,
        )
    except subprocess.TimeoutExpired as late:
        said = bytes(late.output or b"").decode(errors="replace")
        return False, f"{said}(Docker does not answer within {_DOCKER_SECONDS:.0f} s)"
    return done.returncode == 0, done.stdout


def problem(container: str, port: int, path: str) -> str | None:
    """Return why the container does not answer with a status below 400, or None if it does."""
    inspected, said = docker("inspect", "--format", _ADDRESS, container)
    if not inspected:
        return said.strip()
    addresses = said.split()
    if not addresses:
        return "it is not running"
    try:
        with urllib.request.urlopen(f"http://{addresses[0]}:{port}{path}", timeout=5):
            return None
    except (http.client.HTTPException, OSError) as error:
        return str(error) or type(error).__name__


def wait(container: str, port: int, path: str, seconds: float) -> None:
    """Ask once a second until the container answers.

    Raises:
        AgentError: The time is over. The text ends with the container's last log lines.
    """
    deadline = time.monotonic() + seconds
    while (why := problem(container, port, path)) is not None:
        if time.monotonic() > deadline:
            _, logs = docker("logs", "--tail", _LOG_LINES, container)
            raise AgentError(
                f"did not answer http://:{port}{path} within {seconds:.0f} s: {why}\n"
                f"  Its last log lines:\n{logs}"
            )
        time.sleep(1)
