"""Debian disk images, built by mmdebstrap from the machine's own apt sources.

The disk is assembled in plain files: mke2fs fills the file system from a folder, and GRUB's images
go in front of it. There is no loop device, and no mount outside of the builder's namespaces: a
killed build leaves only a folder, which the next build removes.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab import long_command
from lab.console import step
from lab.images import apt
from lab.images.cache import cached, digest, recipe_files

GUESTS = Path(__file__).parent / "guests"
PRELOAD = Path(__file__).parent / "preload.sh"
GRUB = Path("/usr/lib/grub/i386-pc")
KERNEL = "vmlinuz"  # beside the disk; lab.kvm boots it to test whether a guest runs at all
STATUS = "dpkg-status"  # beside the disk; the packages in the image

GRUB_MODULES = ("biosdisk", "part_msdos", "ext2", "linux")

# A builder's mounts and daemons end with it, even if it is killed.
IN_NAMESPACES = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
)

MIB = 1 << 20
PARTITION_START = MIB  # as current partitioning tools choose; GRUB is in front of it
BOOT_CODE = 440  # bytes of the first sector before the disk's signature and partition table
SECTOR = 512
BESIDE = 1 << 30  # bytes of a build beside the disk itself: folder, raw disk, qcow2
BUILD_SECONDS = 1500  # for one step; takes 60 to 150 s with a mirror nearby


class ImageError(Exception):
    """The disk image could not be built; the text has the failed step and its last lines."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides what a disk image contains."""

    name: str
    """The name of the folder in the cache."""
    disk: str
    """The file's name."""
    title: str
    """The text of the progress line."""
    suite: str
    packages: tuple[str, ...]
    guests: tuple[str, ...]
    """Folders in `guests`: a `customize.sh` to run in each, and a `tree` to copy, if it has one."""
    kernel_arguments: str
    size: int
    """Bytes of the root partition; cloud-init grows it to the VM's disk."""
    variant: str = "apt"
    """The variant for mmdebstrap."""
    dpkg_options: tuple[str, ...] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    """More files to copy, by their path in the image."""
    preloaded: Mapping[str, Path] = field(default_factory=dict)
    """Container images in a VM's Docker from the start: OCI layouts by reference."""

    @property
    def key(self) -> str:
        """The hash of all of it; an OCI layout's index has the digests of everything below it."""
        folders = [GUESTS / guest for guest in self.guests]
        parts = [
            ("recipe", repr(self._fields()).encode()),
            *((name, (path / "index.json").read_bytes()) for name, path in self.preloaded.items()),
            *((name, path.read_bytes()) for name, path in self.files.items()),
            *(file for path in (*folders, PRELOAD, Path(__file__)) for file in recipe_files(path)),
        ]
        return digest(parts)

    def _fields(self) -> tuple[object, ...]:
        return (
            *(self.suite, self.packages, self.kernel_arguments, self.size),
            *(self.variant, self.dpkg_options),
        )


def made(recipe: Recipe) -> Path:
    """Return the path of the cached disk image, after building it if its recipe has changed.

    Raises `ImageError`.
    """
    return cached(recipe.name, recipe.key, lambda folder: build(folder, recipe)) / recipe.disk


def build(folder: Path, recipe: Recipe) -> None:
    """Build the disk image in `folder`."""
    free, needed = shutil.disk_usage(folder).free, recipe.size + BESIDE
    if free < needed:
        raise ImageError(
            f"{folder}: {free / 1e9:.1f} GB free, building the Debian image needs "
            f"{needed / 1e9:.1f} GB: make room there"
        )
    sources = sources_of(recipe.suite)
    root, raw = folder / "root", folder / "disk.raw"
    with step(recipe.title):
        run(mmdebstrap(root, recipe, sources, apt.options()), folder)
        preload(root, recipe.preloaded, folder)
        assemble(root, raw, recipe, folder)
        run(["qemu-img", "convert", "-O", "qcow2", str(raw), str(folder / recipe.disk)], folder)
        shutil.copyfile(root / "vmlinuz", folder / KERNEL)
        shutil.copyfile(root / "var/lib/dpkg/status", folder / STATUS)
        raw.unlink()
        shutil.rmtree(root)


def sources_of(suite: str) -> list[apt.Source]:
    """Return the repositories for an image of `suite`. Raises `ImageError` if there are none."""
    sources = apt.sources(suite)
    if not any(source.codename == suite for source in sources):
        raise ImageError(
            f"apt on this machine has no source for Debian {suite}, which the VMs' disk "
            "image is made from: add one to /etc/apt/sources.list.d and run again"
        )
    return sources


def mmdebstrap(
    root: Path, recipe: Recipe, sources: Iterable[apt.Source], options: Iterable[str]
) -> list[str]:
    """Return the command that fills `root` with the guest's system."""
    folders = [GUESTS / guest for guest in recipe.guests]
    trees = [each / "tree" for each in folders if (each / "tree").is_dir()]
    scripts = [each / "customize.sh" for each in folders]
    copied = [
        f'--essential-hook=install -D -m 644 {shlex.quote(str(path))} "$1"{shlex.quote(target)}'
        for target, path in recipe.files.items()
    ]
    return [
        *IN_NAMESPACES,
        *("mmdebstrap", "--mode=root", f"--variant={recipe.variant}", "--format=directory"),
        f"--include={','.join(recipe.packages)}",
        *("--dpkgopt=force-unsafe-io", *(f"--dpkgopt={each}" for each in recipe.dpkg_options)),
        *(f"--aptopt={option}" for option in options),
        *(f'--essential-hook=cp -R {shlex.quote(str(tree))}/. "$1"' for tree in trees),
        *copied,
        *(f'--customize-hook={shlex.quote(str(script))} "$1"' for script in scripts),
        recipe.suite,
        str(root),
        *(source.line() for source in sources),
    ]


def preload(root: Path, images: Mapping[str, Path], folder: Path) -> None:
    """Load images, OCI layouts by reference, into the Docker of the system in `root`."""
    archives = []
    for number, (reference, layout) in enumerate(images.items()):
        archive = folder / f"image-{number}.tar"
        source = f"oci:{layout}:{reference.rpartition(':')[2]}"
        target = f"docker-archive:{archive}:{reference}"
        run(["skopeo", "--insecure-policy", "copy", "--quiet", source, target], folder)
        archives.append(archive)
    if not archives:
        return
    run([*IN_NAMESPACES, "unshare", "--net", str(PRELOAD), str(root), *map(str, archives)], folder)
    for archive in archives:
        archive.unlink()


def grub_config(kernel_arguments: str) -> str:
    """Return the configuration that is built into GRUB's image; it boots without a menu."""
    return f"""\
set root=(hd0,msdos1)
linux /vmlinuz {kernel_arguments}
initrd /initrd.img
boot
"""


def assemble(root: Path, raw: Path, recipe: Recipe, folder: Path) -> None:
    """Assemble the bootable disk `raw` from the system in `root`: MBR, GRUB, one ext4 partition."""
    core, config = folder / "core.img", folder / "grub.cfg"
    config.write_text(grub_config(recipe.kernel_arguments))
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
        disk_file.truncate(PARTITION_START + recipe.size)
    table = f"label: dos\nstart={PARTITION_START // SECTOR}, type=83, bootable\n"
    run(["sfdisk", "--quiet", str(raw)], folder, stdin=table)
    with raw.open("r+b") as disk_file:
        disk_file.write((GRUB / "boot.img").read_bytes()[:BOOT_CODE])
        disk_file.seek(SECTOR)
        disk_file.write(core.read_bytes())
    run(
        [
            *("mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", str(root)),
            # GRUB 2.06 cannot read a file system with these features.
            *("-O", "^metadata_csum_seed,^orphan_file"),
            *("-E", f"offset={PARTITION_START},lazy_itable_init=1", str(raw)),
            f"{recipe.size // 1024}k",
        ],
        folder,
    )
    core.unlink()
    config.unlink()


def run(command: list[str], folder: Path, stdin: str = "") -> None:
    """Run one step of a build; raise `ImageError` with its last lines if it fails."""
    env = {**os.environ, "TMPDIR": str(folder), "LC_ALL": "C.UTF-8"}
    try:
        long_command.run(command, seconds=BUILD_SECONDS, env=env, stdin=stdin)
    except long_command.LongCommandError as error:
        raise ImageError(
            f"building the Debian image: {error}\nfix that and run again (does the machine reach"
            " its apt mirror?); nothing of this build was kept"
        ) from error
