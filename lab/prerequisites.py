"""The lab's requirements, checked before any change: root, disk space, memory."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lab.images.cache import CACHE

# The base disk in the pool 0.7 GB, three VMs that have pulled their images 0.5 GB each, the
# registry 0.1 GB, and as much again for what runs in them.
NEEDED_DISK = 4 << 30  # bytes
# Two VMs of 1 GiB; an emulating QEMU takes 0.7 GB beside that for the code it translates
# (measured); libvirtd, the registry and Pulumi 0.5 GB.
NEEDED_MEMORY = 4 << 30  # bytes


class MachineError(Exception):
    """The machine lacks something; the text says what, and what to do."""


def check_root() -> None:
    """Raise `MachineError` unless this is root."""
    if os.geteuid() != 0:
        raise MachineError(
            f"the lab makes namespaces, mounts and bridges (this is uid {os.geteuid()}): "
            "run it as root"
        )


def check_resources(folder: Path) -> None:
    """Raise `MachineError` unless disk and memory suffice for a lab of two VMs in `folder`."""
    for place in {existing(folder), existing(CACHE)}:
        check_disk(place, shutil.disk_usage(place).free)
    check_memory(Path("/proc/meminfo").read_text())


def check_disk(place: Path, free: int) -> None:
    """Raise `MachineError` if `free` bytes at `place` are too few."""
    if free < NEEDED_DISK:
        raise MachineError(
            f"{place}: {free / 1e9:.1f} GB free, the lab needs {NEEDED_DISK / 1e9:.1f} GB: "
            "make room there, or run `make down` if another lab is up"
        )


def check_memory(meminfo: str) -> None:
    """Raise `MachineError` if /proc/meminfo's text shows too little available memory."""
    kib = next(
        int(line.split()[1]) for line in meminfo.splitlines() if line.startswith("MemAvailable:")
    )
    if kib * 1024 < NEEDED_MEMORY:
        raise MachineError(
            f"memory: {kib * 1024 / 1e9:.1f} GB available, the lab's two VMs need "
            f"{NEEDED_MEMORY / 1e9:.1f} GB: end something, or use a larger machine"
        )


def existing(path: Path) -> Path:
    """`path`, or the nearest folder above it that exists."""
    return next(place for place in (path, *path.parents) if place.exists())


def mounts() -> list[str]:
    """Where something is mounted in the mount namespace of this process."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4].encode().decode("unicode_escape") for line in lines]
