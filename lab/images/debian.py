"""The lab's Debian 12 disk image, built by mmdebstrap from the machine's own apt sources.

The disk is put together in plain files: mke2fs fills the file system from a folder, GRUB's own
images are laid in front of it. No loop device, no mount outside the builder's own namespaces:
whatever ends the build, nothing of it is left but a folder that the next build removes.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from lab.console import step
from lab.images import apt
from lab.images.cache import cached, digest, recipe_files

DISK = "debian-12.qcow2"
KERNEL = "vmlinuz"  # beside the disk: lab.kvm boots it to see whether a guest runs at all
SUITE = "bookworm"
GUEST = Path(__file__).parent / "guest"
PRELOAD = Path(__file__).parent / "preload.sh"
GRUB = Path("/usr/lib/grub/i386-pc")

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
GRUB_CONFIG = f"""\
set root=(hd0,msdos1)
linux /vmlinuz {KERNEL_ARGUMENTS}
initrd /initrd.img
boot
"""
GRUB_MODULES = ("biosdisk", "part_msdos", "ext2", "linux")

# For a builder's mounts and daemons: all gone when it ends, even if killed.
IN_NAMESPACES = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
)

MIB = 1 << 20
PARTITION_START = (
    1 * MIB
)  # bytes; where every partitioning tool of today begins, GRUB lives before it
PARTITION_SIZE = 2048 * MIB  # bytes; about twice what the packages fill, and cloud-init grows it
BOOT_CODE = (
    440  # bytes of the first sector that come before the disk's signature and partition table
)
SECTOR = 512
NEEDED_DISK = (
    3 << 30
)  # bytes; the folder (0.9 GB), the raw disk (0.8 GB sparse) and the qcow2, with room
BUILD_TIMEOUT = 1500  # s; takes 60 to 150 s with a mirror nearby
TAIL_LINES = 15


class ImageError(Exception):
    """The disk image cannot be built; the text says which step failed, its end and what to do."""


def disk(preloaded: Mapping[str, Path]) -> Path:
    """The path of the cached disk image, built first if its recipe has changed. A qcow2 of 0.8 GB.

    `preloaded` are container images that a VM's Docker has from the start: OCI layouts by
    reference. Raises `ImageError`.
    """
    return cached("debian", recipe_key(preloaded), lambda folder: build(folder, preloaded)) / DISK


def recipe_key(preloaded: Mapping[str, Path]) -> str:
    """The hash of everything that decides what the image contains: this checkout and `preloaded`.

    An OCI layout's index has the digest of all that is below it.
    """
    indices = [(name, (layout / "index.json").read_bytes()) for name, layout in preloaded.items()]
    files = [file for path in (GUEST, PRELOAD, Path(__file__)) for file in recipe_files(path)]
    return digest([*indices, *files])


def build(folder: Path, preloaded: Mapping[str, Path]) -> None:
    """Make the disk image as `folder`/debian-12.qcow2."""
    free = shutil.disk_usage(folder).free
    if free < NEEDED_DISK:
        raise ImageError(
            f"{folder}: {free / 1e9:.1f} GB free, building the Debian image needs "
            f"{NEEDED_DISK / 1e9:.1f} GB: make room there"
        )
    sources = apt.sources(SUITE)
    if not any(source.codename == SUITE for source in sources):
        raise ImageError(
            f"apt on this machine has no source for Debian {SUITE}, which the VMs' disk image is "
            "made from: add one to /etc/apt/sources.list.d and run again"
        )
    root, raw = folder / "root", folder / "disk.raw"
    with step("build the Debian disk image (1 to 3 minutes)"):
        run(mmdebstrap(root, sources, apt.options()), folder)
        preload(root, preloaded, folder)
        assemble(root, raw, folder)
        run(["qemu-img", "convert", "-O", "qcow2", str(raw), str(folder / DISK)], folder)
        shutil.copyfile(root / "vmlinuz", folder / KERNEL)
        raw.unlink()
        shutil.rmtree(root)


def mmdebstrap(root: Path, sources: Iterable[apt.Source], options: Iterable[str]) -> list[str]:
    """The command that fills `root` with the guest's system."""
    return [
        *IN_NAMESPACES,
        *("mmdebstrap", "--mode=root", "--variant=apt", "--format=directory"),
        f"--include={','.join(PACKAGES)}",
        *("--dpkgopt=force-unsafe-io", "--dpkgopt=path-exclude=/usr/share/man/*"),
        *("--dpkgopt=path-exclude=/usr/share/locale/*", "--dpkgopt=path-exclude=/usr/share/doc/*"),
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        *(f"--aptopt={option}" for option in options),
        f'--essential-hook=cp -R {shlex.quote(str(GUEST / "tree"))}/. "$1"',
        f'--customize-hook={shlex.quote(str(GUEST / "customize.sh"))} "$1"',
        SUITE,
        str(root),
        *(source.line() for source in sources),
    ]


def preload(root: Path, images: Mapping[str, Path], folder: Path) -> None:
    """Give the Docker of the system in `root` these images: OCI layouts by reference."""
    archives = []
    for number, (reference, layout) in enumerate(images.items()):
        archive = folder / f"image-{number}.tar"
        source = f"oci:{layout}:{reference.rpartition(':')[2]}"
        target = f"docker-archive:{archive}:{reference}"
        run(["skopeo", "--insecure-policy", "copy", "--quiet", source, target], folder)
        archives.append(archive)
    run([*IN_NAMESPACES, "unshare", "--net", str(PRELOAD), str(root), *map(str, archives)], folder)
    for archive in archives:
        archive.unlink()


def assemble(root: Path, raw: Path, folder: Path) -> None:
    """Make the bootable disk `raw` from the system in `root`: MBR, GRUB, one ext4 partition."""
    core, config = folder / "core.img", folder / "grub.cfg"
    config.write_text(GRUB_CONFIG)
    run(
        [
            *("grub-mkimage", "--format=i386-pc", f"--directory={GRUB}", "--prefix=/boot/grub"),
            *(f"--config={config}", f"--output={core}", *GRUB_MODULES),
        ],
        folder,
    )
    if core.stat().st_size > PARTITION_START - SECTOR:
        raise ImageError(
            f"{core}: {core.stat().st_size} bytes do not fit in front of the partition"
        )
    with raw.open("wb") as disk_file:
        disk_file.truncate(PARTITION_START + PARTITION_SIZE)
    table = f"label: dos\nstart={PARTITION_START // SECTOR}, type=83, bootable\n"
    run(["sfdisk", "--quiet", str(raw)], folder, stdin=table)
    with raw.open("r+b") as disk_file:
        disk_file.write((GRUB / "boot.img").read_bytes()[:BOOT_CODE])
        disk_file.seek(SECTOR)
        disk_file.write(core.read_bytes())
    run(
        [
            *("mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", str(root)),
            # GRUB 2.06 does not read a file system with these.
            *("-O", "^metadata_csum_seed,^orphan_file"),
            *("-E", f"offset={PARTITION_START},lazy_itable_init=1", str(raw)),
            f"{PARTITION_SIZE // 1024}k",
        ],
        folder,
    )
    core.unlink()
    config.unlink()


def run(command: list[str], folder: Path, stdin: str = "") -> None:
    """Run one step of the build; raise `ImageError` with its last lines when it fails."""
    env = {**os.environ, "TMPDIR": str(folder), "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            command,
            env=env,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=BUILD_TIMEOUT,
        )
    except subprocess.TimeoutExpired as error:
        raise ImageError(
            f"{command[0]}: not done after {BUILD_TIMEOUT} s: "
            "see whether the machine reaches its apt mirror"
        ) from error
    if done.returncode != 0:
        tail = "\n".join(f"  {line}" for line in done.stdout.splitlines()[-TAIL_LINES:])
        raise ImageError(
            f"building the Debian image: {' '.join(command)}: exit code {done.returncode}; "
            f"its last lines:\n{tail}\nput that right and run again; nothing of this build was kept"
        )
