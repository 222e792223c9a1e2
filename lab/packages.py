"""The Debian packages that the lab needs: installs the missing ones and starts no services.

Deliberately not done here: no package is upgraded or removed, and no service that already runs on
the machine is touched. The lab starts its own daemons in its own namespaces (`lab.datacentre`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from lab.console import step
from lab.long_command import LongCommandError, run
from remote.edge_agent.install import (
    LOCK,
    POLICY,
    POLICY_BACKUP,
    disable_units,
    installing,
    is_ours,
)
from remote.edge_agent.system import EdgeError

PACKAGES = (
    "ca-certificates",  # apt over https inside the disk image's build
    "dnsmasq-base",  # DHCP and DNS of libvirt's networks
    "docker-registry",
    "e2fsprogs",  # mke2fs fills the disk image's file system from a folder
    "fdisk",  # sfdisk
    "grub-common",  # grub-mkimage
    "grub-pc-bin",  # GRUB's images for SeaBIOS
    "haproxy",
    "iproute2",
    "iptables",  # libvirt's NAT rules
    "libvirt-clients",
    "libvirt-daemon",  # not -system: that one brings units, users and a default network
    "libvirt-daemon-driver-qemu",
    "mmdebstrap",
    "mount",
    "openssh-client",
    "openssl",  # the edge makes self-signed certificates with it
    "qemu-system-x86",
    "qemu-utils",
    "skopeo",
    "tini",  # the first process of the lab's PID namespace
    "util-linux",
    "xsltproc",  # pulumi-libvirt's own XML changes
)

TEST_PACKAGES = (
    "certbot",  # the edge installs it where it is missing, but not in a test
    "curl",
    "jq",  # the docs use it
    "nghttp2-client",  # h2load
    "nftables",
    "nmap",
    "pebble",  # an ACME server
    "testssl.sh",
)
"""Packages that only the end-to-end tests need."""

APT_LISTS = Path("/var/lib/apt/lists")
APT_SECONDS = 1800  # it fetches about 150 MB; longer means that it cannot reach its mirror


class PackagesError(Exception):
    """The packages could not be installed; the text says why and what to do."""


def ensure(packages: Iterable[str] = PACKAGES) -> list[str]:
    """Install the `packages` that are missing, the lab's by default, and return their names.

    Fast (well under a second) when nothing is missing. Needs root, apt and Debian 12 only if
    something is. Raises `PackagesError` with apt's own last lines if apt fails.
    """
    packages = tuple(packages)
    wanted = missing(packages)
    left_over = os.path.lexists(POLICY_BACKUP) or is_ours(POLICY)
    if not wanted and not left_over:
        return []
    check_machine(
        os.geteuid(), Path("/etc/os-release").read_text(), shutil.which("apt-get"), wanted
    )
    with installing(POLICY, POLICY_BACKUP, LOCK):
        wanted = missing(packages)  # another lab may have installed the same meanwhile
        if wanted:
            with step(f"install {len(wanted)} Debian packages: {' '.join(wanted)}"):
                install(wanted)
                try:
                    disable_units(wanted)
                except EdgeError as error:
                    raise PackagesError(str(error)) from error
    return wanted


def missing(names: Iterable[str]) -> list[str]:
    """Return those of `names` that are not installed, sorted; all of them without dpkg."""
    wanted = sorted(set(names))
    if shutil.which("dpkg-query") is None:
        return wanted
    # dpkg-query exits 1 when it does not know one of the names: then that one is missing.
    query = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *wanted],
        capture_output=True,
        text=True,
    )
    return not_installed(wanted, query.stdout)


def not_installed(wanted: Iterable[str], dpkg_lines: str) -> list[str]:
    """Return those of `wanted` without a line `<name> installed` in dpkg-query's output."""
    installed = {line.split()[0] for line in dpkg_lines.splitlines() if line.endswith(" installed")}
    return [name for name in wanted if name not in installed]


def check_machine(euid: int, os_release: str, apt_get: str | None, wanted: Iterable[str]) -> None:
    """Raise `PackagesError` unless this is root on a Debian 12 with apt."""
    names = " ".join(wanted)
    release = parse_os_release(os_release)
    if (release.get("ID"), release.get("VERSION_ID")) != ("debian", "12"):
        have = release.get("PRETTY_NAME", "an unknown system")
        raise PackagesError(
            f"the lab is made for Debian 12 (this is {have}): "
            f"install the equivalents of these packages yourself: {names}"
        )
    if apt_get is None:
        raise PackagesError(f"apt-get is not on PATH: install these packages yourself: {names}")
    if euid != 0:
        raise PackagesError(
            f"the lab needs packages that only root can install (this is uid {euid}): "
            f"run this as root, or install them first: {names}"
        )


def parse_os_release(text: str) -> dict[str, str]:
    """Return the KEY=value lines of os-release(5), without quotes."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and line[0] != "#")
    return {key: value.strip("\"'") for key, value in pairs}


def install(names: list[str]) -> None:
    """Run apt-get install, after an apt-get update if apt's lists lack one of `names`.

    If the first try fails, the lists may be out of date, and name versions that the mirror no
    longer has: this updates them and tries again.
    """
    fresh = not lists_know(names)
    if fresh:
        apt("update")
    try:
        apt("install", "--yes", "--no-install-recommends", *names)
    except PackagesError:
        if fresh:
            raise
        apt("update")
        apt("install", "--yes", "--no-install-recommends", *names)


def lists_know(names: list[str]) -> bool:
    """Whether apt's lists offer every one of `names`."""
    if not any(APT_LISTS.glob("*_Packages*")):
        return False
    policy = subprocess.run(["apt-cache", "policy", *names], capture_output=True, text=True)
    return policy.stdout.count("Candidate: ") - policy.stdout.count("Candidate: (none)") >= len(
        names
    )


def apt(*args: str) -> None:
    """Run apt-get without questions; raise `PackagesError` with its last lines when it fails."""
    command = ["apt-get", "-o", "DPkg::Lock::Timeout=120", *args]
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l"}
    try:
        run(command, seconds=APT_SECONDS, env=env)
    except LongCommandError as error:
        raise PackagesError(
            f"{error}\nfix the cause (network, apt sources, another running apt) and run this again"
        ) from error
