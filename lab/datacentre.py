"""A named lab: a container of namespaces with its own libvirt, registry and images.

Everything of the lab `name` is in /var/lib/gatehouse-lab/<name>. Inside, the folders that libvirt
and Gatehouse use by default are private, so the program runs with production's defaults and the
machine's own libvirt, network and edge stay as they were. There is no way from inside to any
network of the machine.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lab import machine, packages
from lab.console import step
from lab.images import containers, debian
from lab.kvm import probe_kvm
from lab.lock import Lock
from lab.namespaces import Namespaces, wait_until

LABS = Path("/var/lib/gatehouse-lab")
ADDRESS = "198.18.0.1"  # RFC 2544's range for tests inside a lab: nobody's real network
REGISTRY = f"{ADDRESS}:5000"
BASE_DISK = Path("/run/gatehouse-lab") / debian.DISK
READY_TIMEOUT = 60.0  # s; libvirtd and the registry need about one each
COMMAND_TIMEOUT = 60.0  # s, for one command of the set-up

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
    # The lab is the sandbox: QEMU runs as root in it, without cgroups, labels or namespaces of its
    # own.
    "etc/libvirt/qemu.conf": (
        'user = "root"\ngroup = "root"\nsecurity_driver = "none"\n'
        "cgroup_controllers = []\nnamespaces = []\n"
    ),
    "registry.yml": f"version: 0.1\nlog: {{level: warn}}\n"
    "storage: {filesystem: {rootdirectory: /run/gatehouse-lab/registry}}\n"
    f"http: {{addr: '{REGISTRY}'}}\n",
}
# libvirtd looks for Debian's QEMU account before it reads that its configuration names another. The
# machine has it from libvirt-daemon-system only; 64055 is the number that Debian reserves for it.
ACCOUNTS = {
    "passwd": "libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin",
    "group": "libvirt-qemu:x:64055:",
}


class DatacentreError(Exception):
    """The lab cannot be started, used or stopped; the text says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Images:
    """What the lab's machines run: paths on this machine, container images by plain reference."""

    disk: Path
    kernel: Path
    containers: Mapping[str, Path]


class Datacentre:
    """The lab `name`. Lower-case letters, digits and dashes."""

    def __init__(self, name: str = "lab") -> None:
        if not re.fullmatch("[a-z0-9][a-z0-9-]*", name):
            raise DatacentreError(
                f"lab name: {name!r}: use lower-case letters, digits and dashes, for example lab"
            )
        self.name = name
        self.root = LABS / name
        self.lock = Lock(LABS / f"{name}.lock")
        self._space = Namespaces(self.root)
        self._ready = self.root / "ready"

    def running(self) -> bool:
        """Whether the lab is up and complete."""
        return self._ready.exists() and self._space.init() is not None

    def start(self, hosts: Sequence[str] = ()) -> None:
        """Bring the lab up: packages, images, namespaces, libvirt, registry. A running one stays.

        `hosts` are names that inside the lab resolve to its edge address, `ADDRESS`. What is left
        of a start that was killed, or from before the machine's last start, is removed first.
        Raises `DatacentreError` and the errors of `packages`, `images` and `machine`.
        """
        if self.running():
            return
        machine.check_root()
        packages.ensure()
        machine.check_resources(LABS)
        images = make_images()
        self.stop()
        with step(f"start the lab {self.name!r}"):
            try:
                self._build(images, hosts)
            except BaseException:
                self._space.destroy()
                raise

    def domain_type(self) -> str:
        """`kvm` where a guest really runs on /dev/kvm, else `qemu`."""
        return probe_kvm(debian.disk().with_name(debian.KERNEL))

    def enter(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        capture: bool = False,
        stdin: str | None = None,
        timeout: float | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run `argv` inside the lab, in the same folder and environment, and return how it ended.

        Its streams are the caller's, or text in the result with `capture`. It is killed when the
        caller ends. While the caller holds the lab's lock, so does the command. Raises
        `subprocess.TimeoutExpired` after `timeout` seconds.
        """
        command, fds = self._command(argv, cwd)
        return subprocess.run(
            command,
            env=env,
            input=stdin,
            capture_output=capture,
            text=True,
            timeout=timeout,
            pass_fds=fds,
            check=False,
        )

    def popen(
        self, argv: Sequence[str], *, cwd: Path | None = None, **options: Any
    ) -> subprocess.Popen[Any]:
        """As `enter`, but started only; `options` are those of `subprocess.Popen`.

        Start it from a thread that lives as long as the command: it is killed when that thread
        ends.
        """
        command, fds = self._command(argv, cwd)
        return subprocess.Popen(command, pass_fds=fds, **options)

    def stop(self) -> None:
        """End the lab: every process, mount and network device of it, and then its folder.

        Does nothing if there is none. VMs are cut off: destroy the stack first if that matters.
        """
        if not self.root.exists() and self._space.init() is None:
            return
        machine.check_root()
        self._space.destroy()
        left = [line for line in machine.mounts() if Path(line).is_relative_to(self.root)]
        if left:
            raise DatacentreError(f"{self.root}: still mounted: {left}: umount them and run again")
        shutil.rmtree(self.root)
        remove_mount_points()

    def _command(self, argv: Sequence[str], cwd: Path | None) -> tuple[list[str], tuple[int, ...]]:
        fd = self.lock.fileno()
        command = self._space.command(argv, cwd, outer_fd=fd)
        return command, () if fd is None else (fd,)

    def _build(self, images: Images, hosts: Sequence[str]) -> None:
        lay_out(self.root, hosts)
        self._space.create()
        for command in set_up(self.root, images.disk):
            self._inside(command)
        self._daemons()
        for reference, layout in images.containers.items():
            source = f"oci:{layout}:{reference.rpartition(':')[2]}"
            target = f"docker://{REGISTRY}/library/{reference}"
            self._inside(
                [
                    "skopeo",
                    "--insecure-policy",
                    "copy",
                    "-q",
                    "--dest-tls-verify=false",
                    source,
                    target,
                ]
            )
        self._ready.touch()

    def _daemons(self) -> None:
        log = self.root / "log"
        self._space.daemon(["virtlogd"], log / "virtlogd.log")
        self._space.daemon(["libvirtd"], log / "libvirtd.log")
        self._space.daemon(
            ["docker-registry", "serve", str(self.root / "fs" / "registry.yml")],
            log / "registry.log",
        )
        probes = {
            "libvirtd": ["virsh", "--connect", "qemu:///system", "version"],
            "registry": ["bash", "-c", f"exec 3<>/dev/tcp/{REGISTRY.replace(':', '/')}"],
        }
        for name, probe in probes.items():
            if not wait_until(partial(self._answers, probe), READY_TIMEOUT):
                tail = "\n".join((log / f"{name}.log").read_text().splitlines()[-15:])
                raise DatacentreError(
                    f"the lab's {name} does not answer after {READY_TIMEOUT:.0f} s; "
                    f"the end of its log:\n{tail}"
                )

    def _answers(self, probe: Sequence[str]) -> bool:
        try:
            return self.enter(probe, cwd=Path("/"), capture=True, timeout=10).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def _inside(self, command: Sequence[str]) -> None:
        done = self.enter(command, cwd=Path("/"), capture=True, timeout=COMMAND_TIMEOUT)
        if done.returncode != 0:
            raise DatacentreError(
                f"setting up the lab {self.name!r}: {' '.join(command)}: "
                f"exit code {done.returncode}: {done.stderr.strip() or done.stdout.strip()}"
            )


def make_images() -> Images:
    """The disk image and the container images, from the cache or made now."""
    disk = debian.disk()
    return Images(disk=disk, kernel=disk.with_name(debian.KERNEL), containers=containers.layouts())


def lay_out(root: Path, hosts: Sequence[str]) -> None:
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


def hosts_file(names: Sequence[str]) -> str:
    """hosts(5) for the lab's inside, where `names` are its edge."""
    lines = ["127.0.0.1 localhost", "::1 localhost"]
    if names:
        lines.append(f"{ADDRESS} {' '.join(names)}")
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
    """Remove the empty folders that labs were mounted over, once the last lab is gone."""
    if any(path.is_dir() for path in LABS.iterdir()):
        return  # removing the folder under another lab's mount would take that mount away
    for path in PRIVATE:
        if "gatehouse" in path and Path(path).is_dir() and not any(Path(path).iterdir()):
            Path(path).rmdir()
