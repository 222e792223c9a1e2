"""Folders of a VM that containers may mount.

An allow-list, because nobody knows what every folder means to the VM's programs, and a container
that writes to the wrong one becomes root on the VM.
"""

from collections.abc import Iterable, Iterator, Sequence, Set

from components.config.models.farm import Farm
from components.config.models.service import Service

ALLOWED = ("/srv", "/mnt", "/opt", "/data", "/media")
"""Folders for data by the Filesystem Hierarchy Standard and by custom."""

_VM = (
    *("/bin", "/boot", "/dev", "/etc", "/home/gatehouse", "/lib", "/lib32", "/lib64", "/libx32"),
    *("/lost+found", "/proc", "/root", "/run", "/sbin", "/snap", "/sys", "/usr"),
    *("/tmp", "/var/tmp"),  # noqa: S108 - refused
    "/opt/containerd",  # containerd puts its `bin` ahead of PATH
    *("/var/backups", "/var/cache", "/var/local", "/var/lock", "/var/log", "/var/mail"),
    *("/var/run", "/var/spool"),
    *(
        f"/var/lib/{name}"
        for name in (
            *("apt", "buildkit", "cloud", "cni", "containerd", "containers", "dbus", "dhcp"),
            *("docker", "docker-engine", "dpkg", "gatehouse", "initramfs-tools", "kubelet"),
            *("NetworkManager", "nfs", "pam", "podman", "polkit-1", "private", "python", "sudo"),
            *("systemd", "ucf", "unattended-upgrades"),
        )
    ),
)
"""Folders that the VM's own programs run from, read as root, or keep state in."""


_CONTAINER = (
    *("/proc", "/sys", "/dev"),
    *("/.dockerenv", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf"),
)
"""Paths that Docker itself mounts in each container."""

_USE = "use a folder in /srv"


def allowed_folders(farm: Farm) -> Iterable[str]:
    """Yield the entries of ``farm.volume_folders`` that would give containers control of a VM."""
    for index, folder in enumerate(farm.volume_folders):
        problem = _of_the_vm(folder)
        if problem is not None:
            yield f"farm.volume_folders.{index}: {problem} (got {folder})"


def allowed(farm: Farm) -> frozenset[str]:
    """Return the folders that services may mount, with all folders below them."""
    return frozenset((*ALLOWED, *farm.volume_folders))


def volumes(path: str, service: Service, allowed: Set[str]) -> Iterable[str]:
    """Yield the folders of the VM that a service may not mount.

    Args:
        path: The service's path in the config.
        service: The service.
        allowed: The result of ``allowed``.
    """
    for index, volume in enumerate(service.volumes):
        if volume.host is None:
            continue
        where = f"{path}.volumes.{index}.host"
        problem = _of_the_vm(volume.host)
        if problem is not None:
            yield f"{where}: {problem} (got {volume.host})"
        elif allowed.isdisjoint(_at_or_above(volume.host)):
            yield (
                f"{where}: must be in {_either(ALLOWED)}, or in a folder of farm.volume_folders;"
                f" add one there, or use `name` (got {volume.host})"
            )


def _of_the_vm(folder: str) -> str | None:
    for each in _VM:
        if _within(folder, each):
            return f"would give the container control of the VM, whose system uses {each}; {_USE}"
        if _within(each, folder):
            return f"would give the container control of the VM: it contains {each}; {_USE}"
    return None


def mounts(path: str, service: Service) -> Iterable[str]:
    """Yield the paths in the container at which Docker cannot mount a volume."""
    read_only = {each.path for each in service.volumes if each.read_only}
    for index, volume in enumerate(service.volumes):
        where, at = f"{path}.volumes.{index}.path", volume.path
        own = next((each for each in _CONTAINER if _within(at, each)), None)
        if own is not None:
            yield f"{where}: is the container's own {own}; mount the volume elsewhere (got {at})"
        above = next((each for each in _at_or_above(at) if each in read_only - {at}), None)
        if above is not None:
            yield (
                f"{where}: is in the read-only volume at {above}, where Docker cannot create a"
                f" folder for it; mount it elsewhere (got {at})"
            )


def _at_or_above(folder: str) -> Iterator[str]:
    """Yield a folder and its parents, except the root."""
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]


def _within(folder: str, other: str) -> bool:
    """Whether a folder is another one or is in it; both are absolute, without dots."""
    return folder == other or folder.startswith(f"{other}/")


def _either(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
