"""Run on a VM: ``python3 - CONTAINER PORT PATH SECONDS``; waits until a container answers HTTP.

Asks the container's own address, because its port need not be published. Ends with code 1 and the
container's last log lines on stderr when the time is over. Docker's state "running" is not enough:
a container that fails and restarts in a loop has it too.

Sent to the VM as text, so it imports only the standard library.
"""

import http.client
import subprocess
import sys
import time
import urllib.request

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


def problem(container: str, port: str, path: str) -> str | None:
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


def main(container: str, port: str, path: str, seconds: str) -> int:
    """Poll once a second until the container answers or the time is over."""
    deadline = time.monotonic() + float(seconds)
    while (why := problem(container, port, path)) is not None:
        if time.monotonic() > deadline:
            _, logs = docker("logs", "--tail", _LOG_LINES, container)
            print(
                f"did not answer http://:{port}{path} within {seconds} s: {why}\n"
                f"  Its last log lines:\n{logs}",
                file=sys.stderr,
            )
            return 1
        time.sleep(1)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
