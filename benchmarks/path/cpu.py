"""Processor time of processes and of all below them, as the kernel counts it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class Process:
    """The values of proc_pid_stat(5) for a process."""

    parent: int
    seconds: float
    """Of all its threads, and of its children that have ended and that it has waited for."""


def read(stat: str) -> Process:
    """Parse a line of ``/proc/<pid>/stat``; a command's name may contain anything."""
    fields = stat[stat.rindex(")") + 2 :].split()
    return Process(parent=int(fields[1]), seconds=sum(map(int, fields[11:15])) / _TICKS)


def tree_seconds(roots: Iterable[int], processes: Mapping[int, Process]) -> float:
    """Return the processor time of some processes and of all that they have started."""
    wanted = set(roots)
    children: dict[int, list[int]] = {}
    for pid, process in processes.items():
        children.setdefault(process.parent, []).append(pid)
    waiting, seen = list(wanted), set[int]()
    while waiting:
        pid = waiting.pop()
        if pid in processes and pid not in seen:
            seen.add(pid)
            waiting += children.get(pid, [])
    return sum(processes[pid].seconds for pid in seen)


def processes() -> dict[int, Process]:
    """Return all processes there are now, by their numbers."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                found[int(folder.name)] = read((folder / "stat").read_text())
            except OSError:  # it has ended meanwhile
                continue
    return found


def with_argument(*arguments: str) -> tuple[int, ...]:
    """Return the numbers of the processes that were started with all of these arguments."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                given = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if set(arguments) <= set(given):
                found.append(int(folder.name))
    return tuple(sorted(found))
