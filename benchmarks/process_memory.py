"""Memory of processes, as the kernel tells it."""

from __future__ import annotations

import os
from pathlib import Path

from lab.hardware import field


def resident_bytes(pid: int | None = None, *, most: bool = False) -> int:
    """Return how much memory a process has in use, what it shares with others included.

    Args:
        pid: The process; None for this one.
        most: The largest it ever was, and not what it is now.

    Raises:
        OSError: The process does not tell, or is gone.
    """
    path = Path(f"/proc/{os.getpid() if pid is None else pid}/status")
    kibibytes = field(path.read_text(), "VmHWM" if most else "VmRSS").split()[0]
    if not kibibytes.isdigit():
        raise OSError(f"{path}: tells nothing of the process's memory")
    return int(kibibytes) * 1024
