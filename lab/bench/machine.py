"""The machine that results were measured on, without which they say nothing."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path

from components.host import traefik
from lab.bench.site import Site, Trouble


def described(site: Site) -> dict[str, str]:
    """Return the machine, and the versions of what runs on it."""
    vm = next(iter(site.outputs()["vms"]))
    try:
        docker = site.on_vm(vm, "docker version --format '{{.Server.Version}}'").strip()
    except Trouble as trouble:
        docker = f"does not answer: {trouble}"
    return {
        "cores": str(os.cpu_count()),
        "memory": field(Path("/proc/meminfo").read_text(), "MemTotal"),
        "CPU": field(Path("/proc/cpuinfo").read_text(), "model name"),
        "kernel": platform.release(),
        "VMs": {"kvm": "KVM", "qemu": "emulated (TCG)"}[site.datacentre.domain_type()],
        "HAProxy": site.inside("haproxy", "-v").splitlines()[0],
        "Traefik": traefik.IMAGE,
        "Docker": docker,
        "Python": platform.python_version(),
    }


def field(text: str, name: str) -> str:
    """Return the first value of a name in a text of ``name : value`` lines, as in /proc."""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def write(folder: Path, machine: Mapping[str, str]) -> None:
    """Write it into a folder of results."""
    (folder / "machine.json").write_text(json.dumps(machine, indent=2) + "\n")
