"""The process that forks plugins: ``python -m lab.pulumi.resident COMMAND…`` has one for it.

Python takes a second to import what a plugin needs, and each VM has its own plugin. So for each
command of the lab, one process imports everything once, and forks.
"""

from __future__ import annotations

import importlib
import json
import os
import secrets
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lab.pulumi.launcher import PLACE

_PROJECT = Path(__file__).parents[2]
_MODULES = ("lab.pulumi.language", "lab.providers.serve")
_PACKAGES = ("lab.providers.command", "lab.providers.docker", "lab.providers.libvirt")
_BACKLOG = 128


@contextmanager
def running(environment: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Run a resident during the block; yield an environment in which plugins find it.

    It is killed when the block or this process ends; the plugins end with their launchers.
    """
    place = f"@gatehouse-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place.replace("@", "\0", 1))
        listener.listen(_BACKLOG)
        script = "import sys; from lab.pulumi.resident import main; main(int(sys.argv[1]))"
        command = (sys.executable, "-c", script, str(os.getpid()))
        with subprocess.Popen(
            ("setpriv", "--pdeathsig", "KILL", "--", *command),
            cwd=_PROJECT,
            env=dict(environment),
            stdin=listener.fileno(),
            stdout=subprocess.DEVNULL,
        ) as process:
            try:
                yield {**environment, PLACE: place}
            finally:
                process.kill()


def main(parent: int) -> None:
    """Fork a plugin for each connection to the socket that is the standard input."""
    listener = socket.socket(fileno=os.dup(0))
    for module in (*_MODULES, *_PACKAGES):
        importlib.import_module(module)
    if os.getppid() != parent:  # the parent ended before setpriv asked for its signal
        return
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the plugins
    while True:
        line, _ = listener.accept()
        with line:
            if not _ours(line) or os.fork() != 0:
                continue
            try:
                _become(listener, line)
            finally:
                os._exit(1)


def _ours(line: socket.socket) -> bool:
    """Return whether the other end is this user: an abstract socket has no permissions."""
    size = struct.calcsize("3i")
    _, user, _ = struct.unpack("3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return bool(user == os.geteuid())


def _become(listener: socket.socket, line: socket.socket) -> None:
    """Turn this process, just forked, into the plugin that a launcher asks for."""
    listener.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    head, descriptors, _, _ = socket.recv_fds(line, 8, 3)
    left = int.from_bytes(head, "big")
    message = b""
    while len(message) < left and (more := line.recv(left - len(message))):
        message += more
    asked = json.loads(message)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    if asked["module"] not in _MODULES:
        raise ValueError(f"{asked['module']}: is not a plugin")
    importlib.import_module(asked["module"]).run(asked["name"], asked["arguments"], line)


if __name__ == "__main__":
    with running(os.environ) as found:
        done = subprocess.run(sys.argv[1:], env=found, check=False)
    sys.exit(done.returncode)
