"""Facts about this machine and its routes, for the checks that a config fits it.

This machine's memory and networks say nothing about another hypervisor's. Certificates on another
edge's host are checked there, before the edge is changed.
"""

import dataclasses
import ipaddress
import json
import os
import shutil
import socket
import stat
import struct
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from components.config.models.stack import Stack
from components.config.qcow2 import is_cut
from components.config.ssh_host import unknown_host
from components.edge import tls
from components.edge.domains import domains
from components.edge.pages import page_problem
from remote.edge_agent.certificates import choose
from remote.edge_agent.system import EdgeError

_KVM = Path("/dev/kvm")
_PROBE_SECONDS = 5.0
_LIBVIRT = "/var/run/libvirt/libvirt-sock"
"""Pulumi's libvirt provider (0.5.4) connects to this socket unless the URI names another one."""
_MAGIC = b"QFI\xfb"
_QCOW2 = struct.Struct(">4sIQIIQ")
"""The header: magic, version, offset and length of the backing file's name, cluster bits, size."""
_OTHERS = {
    b"\xfd7zXZ": "compressed with xz, so unpack it",
    b"\x1f\x8b": "compressed with gzip, so unpack it",
    b"\x28\xb5\x2f\xfd": "compressed with zstd, so unpack it",
    b"PK\x03\x04": "a ZIP archive",
    b"<": "a web page or other markup, as a failed download leaves it",
    b"KDMV": "VMware's format, so convert it with `qemu-img convert -O qcow2`",
    b"conectix": "VHD, so convert it with `qemu-img convert -O qcow2`",
    b"vhdxfile": "VHDX, so convert it with `qemu-img convert -O qcow2`",
    b"\xeb\x63\x90": "a raw disk, so convert it with `qemu-img convert -O qcow2`",
}
"""Other formats by their first bytes; raw disks are recognized by GRUB's boot sector."""


@dataclass(frozen=True, kw_only=True)
class MachineFacts:
    """Facts about this machine; None or empty if unknown or irrelevant."""

    memory: int | None = None
    """Installed memory in bytes."""
    networks: tuple[tuple[str, ipaddress.IPv4Interface], ...] = ()
    """Interfaces by name, with their address and network."""
    image_problem: str | None = None
    """Why the image cannot be used."""
    image_size: int | None = None
    """The size in bytes of the disk in the image; None if the image is not a local qcow2 file."""
    kvm: bool = True
    """Whether /dev/kvm exists."""
    edge_addresses: tuple[str, ...] = ()
    """The IPv4 addresses that an edge outside of the VMs' own network has towards them."""
    own_addresses: tuple[str, ...] = ()
    """The IPv4 addresses that this machine has towards VMs with static addresses."""
    certificate_problems: tuple[str, ...] = ()
    """Problems of the edge's certificates, each with its key and advice."""
    page_problems: Mapping[str, str] = field(default_factory=dict)
    """Why an error page cannot be used, by its path; usable ones are not listed."""


def facts(stack: Stack) -> MachineFacts:
    """Return the facts that a config depends on; read-only."""
    own = _own_addresses(stack)
    problem, size = _image(stack.farm.image)
    everywhere = MachineFacts(
        image_problem=problem,
        image_size=size,
        edge_addresses=own if stack.edge.host is None else resolved(stack.edge.host),
        own_addresses=own,
        certificate_problems=_certificate_problems(stack) if stack.edge.here else (),
        page_problems=_page_problems(stack),
    )
    if not stack.farm.hypervisor.local:
        return everywhere
    return dataclasses.replace(
        everywhere,
        memory=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        networks=_networks(),
        kvm=_KVM.exists(),
    )


def hypervisor_problem(uri: str) -> str | None:
    """Return why libvirt cannot be reached; None if nothing is known to be wrong.

    On this machine: libvirt does not answer. On another: its SSH host key is unknown. The libvirt
    provider's own errors name neither the key of the config nor the URI. This call starts a libvirt
    that systemd starts on demand.
    """
    parts = urlsplit(uri)
    if parts.netloc or parts.path != "/system":
        return unknown_host(uri)
    path = parse_qs(parts.query).get("socket", [_LIBVIRT])[0]
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.settimeout(_PROBE_SECONDS)
            probe.connect(path)
        except OSError as error:
            return f"no libvirt answers at {path}: {error.strerror or error}"
    return None


def _own_addresses(stack: Stack) -> tuple[str, ...]:
    static = stack.farm.network.addresses[: stack.farm.vms]
    ways = {_way_to(str(address.ip)) for address in static}
    return tuple(sorted(way for way in ways if way is not None))


def resolved(host: str) -> tuple[str, ...]:
    """Return the sorted IPv4 addresses of a name or an address; empty if there are none."""
    try:
        found = socket.getaddrinfo(host, None, socket.AF_INET)
    except OSError:
        return ()
    return tuple(sorted({str(each[4][0]) for each in found}))


def _way_to(address: str) -> str | None:
    """Return this machine's address on the route to another one, without sending anything."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def _certificate_problems(stack: Stack) -> tuple[str, ...]:
    if stack.edge.tls is None:
        return ()
    read = tls.spec(stack.edge.tls, domains(stack.services.values()))
    try:
        return choose(read, time.time()).problems
    except EdgeError as error:
        return (f"edge.tls: {error} (got none)",)


def _page_problems(stack: Stack) -> Mapping[str, str]:
    paths = {path for each in stack.services.values() for path in each.http.error_pages.values()}
    problems = {path: page_problem(path) for path in sorted(paths)}
    return {path: problem for path, problem in problems.items() if problem is not None}


def _image(image: str) -> tuple[str | None, int | None]:
    """Return why an image on this machine cannot be used, and its disk's size if it can.

    URLs are not fetched.
    """
    if "://" in image:
        return None, None
    try:
        mode = Path(image).stat().st_mode
        if stat.S_ISDIR(mode):
            return "is a folder", None
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            return "is not a file", None
        with Path(image).open("rb") as file:
            problem, size = qcow2(file.read(_QCOW2.size))
            if problem is None and is_cut(file):
                return "is an incomplete qcow2 disk image, so download it again", None
    except FileNotFoundError:
        return "does not exist", None
    except OSError as error:
        return f"cannot be read: {error.strerror}", None
    return problem, size


def qcow2(head: bytes) -> tuple[str | None, int | None]:
    """Return the problem of a disk image with these first bytes, or its disk's size."""
    if not head.startswith(_MAGIC):
        what = next((what for magic, what in _OTHERS.items() if head.startswith(magic)), None)
        if what is None and not head.strip(b"\0"):
            what = "empty"
        return f"is not a qcow2 disk image but {what or 'something else'}", None
    if len(head) < _QCOW2.size:
        return "is not a qcow2 disk image but only the beginning of one", None
    _, _, backing, _, _, size = _QCOW2.unpack(head)
    if backing:
        return "is a layer on another image; flatten it with `qemu-img convert -O qcow2`", None
    return None, size


def _networks() -> tuple[tuple[str, ipaddress.IPv4Interface], ...]:
    if shutil.which("ip") is None:
        return ()
    done = subprocess.run(
        ("ip", "-json", "-4", "address"),
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
    )
    return parse_networks(done.stdout) if done.returncode == 0 else ()


def parse_networks(text: str) -> tuple[tuple[str, ipaddress.IPv4Interface], ...]:
    """Read what ``ip -json -4 address`` prints."""
    return tuple(
        (link["ifname"], ipaddress.IPv4Interface(f"{each['local']}/{each['prefixlen']}"))
        for link in json.loads(text or "[]")
        for each in link.get("addr_info", ())
    )
