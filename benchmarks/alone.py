"""How long a VM alone takes from its start to Docker: ``python -m benchmarks.alone``.

Runs inside the lab, with its image: the floor below everything that Gatehouse adds. It uses
libvirt, the same disk image and size, and a cloud-init document that only writes to the console
once Docker has started. Prints the seconds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from pathlib import Path

from components.vm import seed
from lab.namespaces import wait_until

NAME = "alone"
MARK = "docker-has-started"
_USER_DATA = f"""\
#cloud-config
bootcmd:
- [systemd-run, --no-block, --property=Requires=docker.service, --property=After=docker.service,
   sh, -c, "echo {MARK} > /dev/ttyS0"]
"""
_URI = "qemu:///system"


class AloneError(Exception):
    """The VM did not come up; the text has the end of its console."""


def boot(image: Path, folder: Path, *, domain_type: str, memory: int, seconds: float) -> float:
    """Return the seconds from a VM's start until Docker has started; remove the VM.

    Args:
        image: The disk image, which stays as it is.
        folder: Where its own files may be.
        domain_type: ``kvm`` or ``qemu``.
        memory: In MiB.
        seconds: How long it may take.

    Raises:
        AloneError: It took longer.
        subprocess.CalledProcessError: libvirt or qemu-img refused.
    """
    disk, seed_disk, console = (folder / name for name in ("disk.qcow2", "seed.qcow2", "console"))
    backing = ("-f", "qcow2", "-F", "qcow2", "-b", str(image))
    _run("qemu-img", "create", "-q", *backing, str(disk), "4G")
    meta_data = f"instance-id: {NAME}\nlocal-hostname: {NAME}\n"
    seed_disk.write_bytes(seed.image({"user-data": _USER_DATA, "meta-data": meta_data}))
    console.touch()
    document = folder / "domain.xml"
    document.write_text(_domain(domain_type, memory, (disk, seed_disk), console))
    began = time.monotonic()
    _run("virsh", "--connect", _URI, "--quiet", "create", str(document))
    try:
        if not wait_until(lambda: MARK in console.read_text(errors="replace"), seconds):
            tail = "\n".join(console.read_text(errors="replace").splitlines()[-20:])
            raise AloneError(f"Docker has not started after {seconds:g} s; the console:\n{tail}")
        return time.monotonic() - began
    finally:
        _run("virsh", "--connect", _URI, "--quiet", "destroy", NAME)


def _domain(domain_type: str, memory: int, disks: tuple[Path, ...], console: Path) -> str:
    domain = ET.Element("domain", type=domain_type)
    ET.SubElement(domain, "name").text = NAME
    ET.SubElement(domain, "memory", unit="MiB").text = str(memory)
    ET.SubElement(domain, "vcpu").text = "1"
    ET.SubElement(ET.SubElement(domain, "os"), "type", arch="x86_64").text = "hvm"
    features = ET.SubElement(domain, "features")
    ET.SubElement(features, "acpi")
    mode = "host-passthrough" if domain_type == "kvm" else "maximum"
    ET.SubElement(domain, "cpu", mode=mode)
    devices = ET.SubElement(domain, "devices")
    for number, path in enumerate(disks):
        disk = ET.SubElement(devices, "disk", type="file", device="disk")
        ET.SubElement(disk, "driver", name="qemu", type="qcow2")
        ET.SubElement(disk, "source", file=str(path))
        ET.SubElement(disk, "target", dev=f"vd{'ab'[number]}", bus="virtio")
    card = ET.SubElement(devices, "interface", type="user")
    ET.SubElement(card, "model", type="virtio")
    port = ET.SubElement(devices, "serial", type="file")
    ET.SubElement(port, "source", path=str(console))
    ET.SubElement(port, "target", port="0")
    return ET.tostring(domain, encoding="unicode")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def main(arguments: list[str]) -> int:
    """Boot one and print how long it took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alone")
    parser.add_argument("--image", required=True, type=Path)
    parser.add_argument("--domain-type", required=True, choices=("kvm", "qemu"))
    parser.add_argument("--memory", required=True, type=int, help="MiB")
    parser.add_argument("--seconds", required=True, type=float, help="how long it may take")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        try:
            took = boot(
                args.image,
                Path(folder),
                domain_type=args.domain_type,
                memory=args.memory,
                seconds=args.seconds,
            )
        except AloneError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    print(took)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
