"""The inside of a lab: its addresses, private folders, configuration and mounts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.images import debian

LABS = Path("/var/lib/gatehouse-lab")
ADDRESS = "198.18.0.1"  # RFC 2544's range for tests inside a lab; no real network uses it
REGISTRY = f"{ADDRESS}:5000"
BASE_DISK = Path("/run/gatehouse-lab") / debian.DISK

# Private to the lab, from folders of the same name below <lab>/fs.
PRIVATE = (
    "/etc/libvirt",
    "/var/lib/libvirt",
    "/var/cache/libvirt",
    "/var/log/libvirt",
    "/etc/gatehouse",
    "/var/lib/gatehouse",
)
CONFIG = {
    "etc/libvirt/libvirtd.conf": 'auth_unix_rw = "none"\nauth_unix_ro = "none"\n',
    # The lab is the sandbox: QEMU is root in it, and has no cgroups, labels or namespaces.
    "etc/libvirt/qemu.conf": (
        'user = "root"\ngroup = "root"\nsecurity_driver = "none"\n'
        "cgroup_controllers = []\nnamespaces = []\n"
    ),
    "registry.yml": f"version: 0.1\nlog: {{level: warn}}\n"
    "storage: {filesystem: {rootdirectory: /run/gatehouse-lab/registry}}\n"
    f"http: {{addr: '{REGISTRY}'}}\n",
}
# libvirtd looks up Debian's QEMU account even if its configuration names another one. The account
# comes with libvirt-daemon-system only; Debian reserves the number 64055 for it.
ACCOUNTS = {
    "passwd": "libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin",
    "group": "libvirt-qemu:x:64055:",
}


def lay_out(root: Path, hosts: Mapping[str, Sequence[str]]) -> None:
    """Make the lab's folder `root`, with its configuration, and the folders to mount it over."""
    root.mkdir(parents=True)
    (root / "log").mkdir()
    for path in PRIVATE:
        (root / "fs" / path.lstrip("/")).mkdir(parents=True)
        Path(path).mkdir(parents=True, exist_ok=True)
    (root / "fs" / "registry").mkdir()
    for path, text in CONFIG.items():
        (root / "fs" / path).write_text(text)
    etc = root / "fs" / "etc"
    (etc / "hosts").write_text(hosts_file(hosts))
    for name, line in ACCOUNTS.items():
        (etc / name).write_text(with_account((Path("/etc") / name).read_text(), line))


def hosts_file(names: Mapping[str, Sequence[str]]) -> str:
    """Return hosts(5) for the inside of the lab, with these names by their address."""
    lines = ["127.0.0.1 localhost", "::1 localhost"]
    lines += [f"{address} {' '.join(each)}" for address, each in names.items() if each]
    return "\n".join(lines) + "\n"


def with_account(table: str, line: str) -> str:
    """The passwd(5) or group(5) text `table` with the account of `line`, unless it has that one."""
    name = line.split(":", 1)[0]
    if any(row.split(":", 1)[0] == name for row in table.splitlines()):
        return table
    return f"{table.rstrip()}\n{line}\n"


def set_up(root: Path, disk: Path) -> list[list[str]]:
    """The commands that turn fresh namespaces into the lab at `root`, run inside in this order."""
    private = [
        ["mount", "--bind", str(root / "fs" / path.lstrip("/")), path]
        for path in (*PRIVATE, "/etc/hosts", "/etc/passwd", "/etc/group")
    ]
    return [
        ["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"],
        # A new sysfs shows the lab's own network devices, and no cgroups: libvirt then uses none.
        ["umount", "--recursive", "--lazy", "/sys"],
        ["mount", "-t", "sysfs", "sysfs", "/sys"],
        *private,
        ["mkdir", "-p", str(BASE_DISK.parent / "registry"), "/run/lock"],
        ["touch", str(BASE_DISK)],
        ["mount", "--bind", str(disk), str(BASE_DISK)],
        ["mount", "-o", "remount,bind,ro", str(BASE_DISK)],
        ["mount", "--bind", str(root / "fs" / "registry"), str(BASE_DISK.parent / "registry")],
        ["ip", "link", "set", "lo", "up"],
        # A bridge without ports, not a dummy: libvirt needs bridges anyway, and not every kernel
        # has dummies.
        ["ip", "link", "add", "internet", "type", "bridge"],
        ["ip", "address", "add", f"{ADDRESS}/32", "dev", "internet"],
        ["ip", "link", "set", "internet", "up"],
        ["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"],
    ]


def remove_mount_points() -> None:
    """Remove the empty mount points of labs, once the last lab is gone."""
    if any(path.is_dir() for path in LABS.iterdir()):
        return  # removing the folder under another lab's mount would take that mount away
    for path in PRIVATE:
        if "gatehouse" in path and Path(path).is_dir() and not any(Path(path).iterdir()):
            Path(path).rmdir()
