"""The lab's Debian 12: only packages that its VMs need, to save time on an emulated CPU."""

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
    "certbot",  # for an edge VM, which reaches no mirror in a lab
    "chrony",
    "cloud-guest-utils",  # growpart
    "cloud-init",
    "dbus",
    "docker.io",
    "haproxy",  # for the same reason as certbot
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

# mitigations=off: a lab VM runs only trusted code, and retpolines are slow on an emulated CPU.
KERNEL_ARGUMENTS = (
    "root=/dev/vda1 rw console=ttyS0 net.ifnames=0 quiet "
    "mitigations=off init_on_alloc=0 fsck.mode=skip audit=0"
)
SIZE = 2048 * disk.MIB  # bytes; about twice what the packages fill


def recipe(preloaded: Mapping[str, Path]) -> disk.Recipe:
    """Return the image's recipe, with `preloaded` in its Docker: OCI layouts by reference."""
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
    """Return the path of the lab's disk image, a qcow2 of 0.8 GB. Raises `ImageError`."""
    return disk.made(recipe(preloaded))
