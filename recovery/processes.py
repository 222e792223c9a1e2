"""Find and end the processes that a killed run has left."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

_PROJECT_FILES = ("Pulumi.yaml", "Pulumi.yml", "Pulumi.json")


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


def programs_in(project: Path, name: str) -> list[int]:
    """Return the processes whose name begins with `name` and that work on a Pulumi project.

    Args:
        project: The folder of its ``Pulumi.yaml``. Pulumi looks for that upwards, so processes
            that were started in a subfolder work on it too.
        name: The beginning of their names.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "comm").read_text().startswith(name) and _belongs(
                (process / "cwd").readlink(), project
            ):
                found.append(int(process.name))
    return sorted(found)


def _belongs(folder: Path, project: Path) -> bool:
    """Return whether the closest project at or above `folder` is `project`."""
    if not folder.is_relative_to(project):
        return False
    below = [each for each in (folder, *folder.parents) if project in each.parents]
    return not any((each / file).exists() for each in below for file in _PROJECT_FILES)


def name(pid: int) -> str:
    """Return a process's name, of which the kernel keeps 15 characters; empty if it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def command_line(pid: int) -> str:
    """Return how a process was started; empty if it is gone."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        return " ".join(word.decode(errors="replace") for word in words)
    return ""


def kill_tree(root: int) -> None:
    """Kill a process and all below it: the CLI's plugins are in process groups of their own.

    And the process groups that one of these leads: a plugin that has just got a signal may
    have left its children to the first process.
    """
    below: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent, group = stat.read_text().rpartition(")")[2].split()[1:3]
            for leader in {int(parent), int(group)}:
                below.setdefault(leader, []).append(int(stat.parent.name))
    doomed = [root]
    for pid in doomed:
        doomed += [each for each in below.get(pid, []) if each not in doomed]
    for pid in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
