"""Run on a VM: ``python3 - CONTAINER PORT PATH SECONDS``; waits until a container answers HTTP.

Asks the container's own address, because its port need not be published. Ends with code 1 and the
container's last log lines on stderr when the time is over. Docker's state "running" is not enough:
a container that fails and restarts in a loop has it too.

Sent to the VM as text, so it imports only the standard library.
"""

import subprocess
import sys
import time
import urllib.error
import urllib.request

_ADDRESS = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
_LOG_LINES = "15"


def problem(container: str, port: str, path: str) -> str | None:
    """Return why the container does not answer with a status below 400, or None if it does."""
    inspected = subprocess.run(
        ("docker", "inspect", "--format", _ADDRESS, container),
        check=False,
        capture_output=True,
        text=True,
    )
    if inspected.returncode != 0:
        return inspected.stderr.strip()
    addresses = inspected.stdout.split()
    if not addresses:
        return "it is not running"
    try:
        with urllib.request.urlopen(f"http://{addresses[0]}:{port}{path}", timeout=5):
            return None
    except (urllib.error.URLError, OSError) as error:
        return str(error)


def main(container: str, port: str, path: str, seconds: str) -> int:
    """Poll once a second until the container answers or the time is over."""
    deadline = time.monotonic() + float(seconds)
    while (why := problem(container, port, path)) is not None:
        if time.monotonic() > deadline:
            logs = subprocess.run(
                ("docker", "logs", "--tail", _LOG_LINES, container),
                check=False,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            print(
                f"did not answer http://:{port}{path} within {seconds} s: {why}\n"
                f"  Its last log lines:\n{logs.stdout}",
                file=sys.stderr,
            )
            return 1
        time.sleep(1)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
