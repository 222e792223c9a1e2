"""A description of the machine, to go with every measurement."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def described() -> dict[str, str]:
    """Return the machine's processor, memory and kernel, and Python's version."""
    return {
        "cores": str(os.cpu_count()),
        "memory": field(Path("/proc/meminfo").read_text(), "MemTotal"),
        "CPU": field(Path("/proc/cpuinfo").read_text(), "model name"),
        "kernel": platform.release(),
        "Python": platform.python_version(),
    }


def field(text: str, name: str) -> str:
    """Return the first value of a name in ``name : value`` lines, as in /proc."""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"
