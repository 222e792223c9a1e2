"""Tests whether a guest really runs on /dev/kvm: on some machines it opens, but the guest hangs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from lab.console import step
from lab.images.cache import CACHE
from lab.namespaces import boot_id

KVM = Path("/dev/kvm")
PROBE_TIMEOUT = 20.0  # s; a working guest panics after 1 to 3 s, as it has no disk


def probe_kvm(kernel: Path) -> str:
    """The libvirt domain type of this machine: `kvm` if a guest runs on it, else `qemu` (emulated).

    Boots `kernel`, a Linux bzImage, without a disk, until it panics and restarts. It does so once
    per boot of the machine, and caches the answer.
    """
    if not KVM.exists():
        return "qemu"
    answer = CACHE / "kvm.json"
    known = remembered(answer, boot_id())
    if known is not None:
        return known
    with step("try whether a guest runs on /dev/kvm (at most 20 s)"):
        found = "kvm" if guest_runs(kernel, PROBE_TIMEOUT) else "qemu"
    answer.parent.mkdir(parents=True, exist_ok=True)
    answer.write_text(json.dumps({"boot": boot_id(), "type": found}))
    return found


def remembered(answer: Path, boot: str) -> str | None:
    """Return the answer in the file `answer`, if it is from this `boot` of the machine."""
    try:
        saved = json.loads(answer.read_text())
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(saved, dict) or saved.get("boot") != boot:
        return None
    return "kvm" if saved.get("type") == "kvm" else "qemu"


def guest_runs(kernel: Path, timeout: float, accelerator: str = "kvm") -> bool:
    """Whether `kernel` boots until it panics without a root and restarts, within `timeout` s."""
    command = [
        *(
            "qemu-system-x86_64",
            "-accel",
            accelerator,
            "-machine",
            "pc",
            "-m",
            "256",
            "-nodefaults",
        ),
        *("-display", "none", "-no-reboot", "-kernel", str(kernel)),
        *("-append", "panic=-1 quiet"),
    ]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
