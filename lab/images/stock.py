"""Disk images like Debian's *genericcloud*, from which an operator's VMs boot on the first day.

They have the packages and settings of Debian's, by its image team's recipe as of 2025: neither
Docker nor chrony, and deb.debian.org as apt's source. They differ in three things: they trust the
certificate authority of the lab's Internet, GRUB is put in front as in the lab's own image, and
there is no partition for UEFI.
"""

from __future__ import annotations

from pathlib import Path

from lab.images import disk

PLACE = Path("/var/lib/libvirt/images")
"""The images' folder in a lab, as in production."""

RELEASES = {
    "debian-12-genericcloud-amd64.qcow2": "bookworm",
    "debian-13-genericcloud-amd64.qcow2": "trixie",
}
"""The suite by Debian's name for the file."""

# The recipe's classes SYSTEM_BOOT, CLOUD, GENERIC, LINUX_VARIANT_CLOUD and TIME_SYSTEMD.
PACKAGES = (
    *("apparmor", "apt-utils", "ca-certificates", "cloud-guest-utils", "cloud-init"),
    "cloud-initramfs-growroot",
    *("init", "iptables", "iputils-ping", "less", "libnss-myhostname", "libpam-systemd"),
    *("linux-image-cloud-amd64", "nano", "netbase", "netplan.io", "openssh-server", "polkitd"),
    *("ssh-import-id", "sudo", "systemd-resolved", "systemd-timesyncd", "tzdata"),
    *("unattended-upgrades", "vim-tiny", "whiptail", "zstd"),
)
TOOLS = (
    *("apt-listchanges", "bash-completion", "bind9-host", "curl", "ethtool", "man-db", "manpages"),
    *("pciutils", "psmisc", "reportbug", "screen", "socat", "tcpdump", "traceroute"),
    *("uuid-runtime", "vim", "xz-utils"),
)
"""The recipe's class EXTRAS: interactive tools."""

SINCE = {
    "bookworm": (),
    "trixie": ("e2fsprogs", "libnss-resolve", "linux-sysctl-defaults"),
}
"""Additional packages by suite."""

KERNEL_ARGUMENTS = (
    "root=LABEL=root ro console=tty0 console=ttyS0,115200 earlyprintk=ttyS0,115200 consoleblank=0"
)
SIZE = 3071 * disk.MIB  # bytes; Debian's disks have 3 GiB in total


def suite_of(image: Path) -> str | None:
    """Return the suite of the image at the path `image`; None if it is not a stock image."""
    return RELEASES.get(image.name) if image.parent == PLACE else None


def recipe(suite: str, authority: Path) -> disk.Recipe:
    """Return the recipe of the image of `suite` that trusts the certificate in `authority`."""
    name = next(name for name, each in RELEASES.items() if each == suite)
    return disk.Recipe(
        name=f"stock-{suite}",
        disk=name,
        title=f"build a disk image like Debian's genericcloud, {suite} (2 to 5 minutes)",
        suite=suite,
        packages=tuple(sorted((*PACKAGES, *TOOLS, *SINCE[suite]))),
        guests=("stock",),
        kernel_arguments=KERNEL_ARGUMENTS,
        size=SIZE,
        variant="minbase",
        files={"/usr/local/share/ca-certificates/gatehouse-lab.crt": authority},
    )
