"""Processes by what they are, for ending what a run that was killed has left."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path


def processes_with(variable: str, name: str) -> list[int]:
    """Return the processes whose name begins with `name` and that have an environment variable."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "comm").read_text().startswith(name):
                variables = (folder / "environ").read_bytes().split(b"\0")
                if variable.encode() in variables:
                    found.append(int(folder.name))
    return found


def kill_tree(root: int) -> None:
    """Kill a process and all below it: the CLI's plugins are in process groups of their own."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    doomed = [root]
    for pid in doomed:
        doomed += children.get(pid, [])
    for pid in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
