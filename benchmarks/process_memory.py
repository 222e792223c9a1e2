"""The memory of processes, as the kernel counts it."""

from __future__ import annotations

import os
from pathlib import Path

from lab.hardware import field


def resident_bytes(pid: int | None = None, *, most: bool = False) -> int:
    """Return the resident memory of a process, including memory that it shares.

    Args:
        pid: The process; None for this one.
        most: Return its maximum so far, instead of the current value.

    Raises:
        OSError: The process is gone, or is a kernel thread.
    """
    path = Path(f"/proc/{os.getpid() if pid is None else pid}/status")
    kibibytes = field(path.read_text(), "VmHWM" if most else "VmRSS").split()[0]
    if not kibibytes.isdigit():
        raise OSError(f"{path}: has no memory size; is it a kernel thread?")
    return int(kibibytes) * 1024
