"""A description of the machine, without which results mean nothing."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def described() -> dict[str, str]:
    """Return what of the machine decides how fast something is, and Python's version."""
    return {
        "cores": str(os.cpu_count()),
        "memory": field(Path("/proc/meminfo").read_text(), "MemTotal"),
        "CPU": field(Path("/proc/cpuinfo").read_text(), "model name"),
        "kernel": platform.release(),
        "Python": platform.python_version(),
    }


def field(text: str, name: str) -> str:
    """Return the first value of a name in a text of ``name : value`` lines, as in /proc."""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"
