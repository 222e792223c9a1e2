"""The program that the Pulumi CLI starts as a plugin; it hands over to the resident process.

    python -IS launcher.py MODULE NAME [ARGUMENT…]

The resident has imported what a plugin needs, and forks one with this process's streams, folder and
environment. This process then only waits: it ends with the plugin, and the plugin with it. If no
resident can be reached, it becomes the plugin itself. It imports nothing that takes long.
"""

import contextlib
import json
import os
import signal
import socket
import sys

PLACE = "GATEHOUSE_RESIDENT"
"""The variable with the resident's abstract socket, as in ``@gatehouse-…``."""


def main() -> None:
    """Hand over, or become the plugin."""
    module, name, *arguments = sys.argv[1:]
    with contextlib.suppress(OSError), open("/proc/self/comm", "w") as file:  # noqa: PTH123 - pathlib takes long
        file.write(name[:15])
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    line = _resident()
    if line is None:
        project = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120 - pathlib takes long
        os.environ["PYTHONPATH"] = project
        os.execv(sys.executable, [sys.executable, "-m", module, name, *arguments])  # noqa: S606 - no shell is meant
    message = json.dumps(
        {
            "module": module,
            "name": name,
            "arguments": arguments,
            "folder": os.getcwd(),  # noqa: PTH109 - pathlib takes long
            "environment": dict(os.environ),
        }
    ).encode()
    socket.send_fds(line, [len(message).to_bytes(8, "big")], [0, 1, 2])
    line.sendall(message)
    for descriptor in (0, 1):
        os.close(descriptor)
    line.recv(1)


def _resident() -> "socket.socket | None":
    place = os.environ.get(PLACE, "")
    line = socket.socket(socket.AF_UNIX)
    try:
        if place:
            line.connect(place.replace("@", "\0", 1))
            return line
    except OSError:
        pass
    return None


if __name__ == "__main__":
    main()
