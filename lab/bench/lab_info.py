"""A description of the measuring machine, with the versions of the programs in its lab."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from components.host import traefik
from lab import hardware
from lab.bench.measured_lab import MeasuredLab, Trouble


def described(site: MeasuredLab) -> dict[str, str]:
    """Return the machine, and the versions of the programs in the lab."""
    vm = next(iter(site.outputs()["vms"]))
    try:
        docker = site.on_vm(vm, "docker version --format '{{.Server.Version}}'").strip()
    except Trouble as trouble:
        docker = f"does not answer: {trouble}"
    return {
        **hardware.described(),
        "VMs": {"kvm": "KVM", "qemu": "emulated (TCG)"}[site.datacentre.domain_type()],
        "HAProxy": site.inside("haproxy", "-v").splitlines()[0],
        "Traefik": traefik.IMAGE,
        "Docker": docker,
    }


def write(folder: Path, machine: Mapping[str, str]) -> None:
    """Write the description into a folder of results."""
    (folder / "machine.json").write_text(json.dumps(machine, indent=2) + "\n")
