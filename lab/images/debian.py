"""The lab's own Debian 12: what its VMs need, and nothing that costs an emulated CPU time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lab.images import disk
from lab.images.disk import KERNEL, ImageError, run

__all__ = ["DISK", "KERNEL", "SUITE", "ImageError", "disk_image", "recipe", "run"]

DISK = "debian-12.qcow2"
SUITE = "bookworm"

PACKAGES = (
    "apparmor",  # docker.io's runc asks for its parser
    "ca-certificates",
    "certbot",  # for an edge that is a VM, which reaches no mirror here
    "chrony",
    "cloud-guest-utils",  # growpart
    "cloud-init",
    "dbus",
    "docker.io",
    "haproxy",  # as certbot
    "iproute2",
    "linux-image-cloud-amd64",  # the virtio and IDE drivers of a VM, and few others: a quick boot
    "lz4",  # initramfs-tools' COMPRESS=lz4
    "nftables",
    "openssh-server",
    "python3",
    "qemu-guest-agent",
    "sudo",
    "systemd-resolved",
    "systemd-sysv",
    "udev",
    "unattended-upgrades",
)

# mitigations=off: a lab VM runs nothing that is not trusted, and the retpolines are dear on an
# emulated CPU.
KERNEL_ARGUMENTS = (
    "root=/dev/vda1 rw console=ttyS0 net.ifnames=0 quiet "
    "mitigations=off init_on_alloc=0 fsck.mode=skip audit=0"
)
SIZE = 2048 * disk.MIB  # bytes; about twice what the packages fill


def recipe(preloaded: Mapping[str, Path]) -> disk.Recipe:
    """The lab's image, whose Docker has the images `preloaded`: OCI layouts by reference."""
    return disk.Recipe(
        name="debian",
        disk=DISK,
        title="build the Debian disk image (1 to 3 minutes)",
        suite=SUITE,
        packages=PACKAGES,
        guests=("lab",),
        kernel_arguments=KERNEL_ARGUMENTS,
        size=SIZE,
        dpkg_options=(
            "path-exclude=/usr/share/man/*",
            "path-exclude=/usr/share/locale/*",
            "path-exclude=/usr/share/doc/*",
            "path-include=/usr/share/doc/*/copyright",
        ),
        preloaded=preloaded,
    )


def disk_image(preloaded: Mapping[str, Path]) -> Path:
    """The path of the lab's disk image, a qcow2 of 0.8 GB. Raises `ImageError`."""
    return disk.made(recipe(preloaded))
