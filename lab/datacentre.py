"""A named lab: a container of namespaces with its own libvirt, registry and images.

Everything of the lab `name` is in /var/lib/gatehouse-lab/<name>. Inside, the folders that libvirt
and Gatehouse use by default are private, so the program runs with production's defaults and the
machine's own libvirt, network and edge stay as they were. The inside cannot reach any network of
the machine.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lab import internet, packages, prerequisites
from lab.console import step
from lab.images import containers, debian
from lab.kvm import probe_kvm
from lab.layout import (
    ADDRESS,
    BASE_DISK,
    LABS,
    REGISTRY,
    lay_out,
    remove_mount_points,
    set_up,
)
from lab.lock import Lock
from lab.namespaces import Namespaces, wait_until

__all__ = [
    "ADDRESS",
    "BASE_DISK",
    "LABS",
    "REGISTRY",
    "Datacentre",
    "DatacentreError",
    "domains_of",
]

READY_TIMEOUT = 60.0  # s; libvirtd and the registry need about one each
COMMAND_TIMEOUT = 60.0  # s, for one command of the set-up


class DatacentreError(Exception):
    """The lab could not be started, used or stopped; the text says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class LabImages:
    """The images in a lab: disk images by path on this machine, container images by plain name."""

    disk: Path
    kernel: Path
    containers: Mapping[str, Path]
    internet: internet.Internet | None = None
    """The lab's part of the Internet, if it has stock images."""


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
        self._domain_type = self.root / "domain-type"

    def running(self) -> bool:
        """Whether the lab is up and complete."""
        return self._ready.exists() and self._space.init() is not None

    def start(self, hosts: Sequence[str] = (), stock: Sequence[str] = ()) -> None:
        """Bring the lab up: packages, images, namespaces, libvirt, registry. A running one stays.

        Inside the lab, the names `hosts` resolve to its edge address, `ADDRESS`. `stock` are the
        names of stock images to provide, with the servers that their VMs need. Leftovers of a
        killed start, or from before the machine's last start, are removed first.
        Raises `DatacentreError` and the errors of `packages`, `images` and `machine`.
        """
        if self.running():
            if lacking := [name for name in stock if not (self.root / "stock" / name).exists()]:
                raise DatacentreError(
                    f"the lab {self.name!r} runs without the image {lacking[0]}, which the config"
                    " has now: run `make down` first"
                )
            return
        prerequisites.check_root()
        packages.ensure()
        prerequisites.check_resources(LABS)
        images = make_images(stock)
        self.stop()
        with step(f"start the lab {self.name!r}"):
            try:
                self._build(images, hosts)
            except BaseException:
                self._space.destroy()
                raise

    def domain_type(self) -> str:
        """`kvm` if a guest really ran on /dev/kvm when the lab was started, else `qemu`.

        The answer is stored, because another one would replace the VMs. Raises `DatacentreError` if
        the lab does not run.
        """
        if not self.running():
            raise DatacentreError(f"the lab {self.name!r} does not run: start it first")
        return self._domain_type.read_text()

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

    def daemon(self, argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        """Run `argv` inside for as long as the lab runs; its output goes to `log`."""
        self._space.daemon(argv, log, env)

    def stop(self) -> None:
        """End the lab: every process, mount and network device of it, and then its folder.

        Does nothing if there is none. VMs are cut off: destroy the stack first if that matters.
        """
        if not self.root.exists() and self._space.init() is None:
            return
        prerequisites.check_root()
        self._space.destroy()
        left = [line for line in prerequisites.mounts() if Path(line).is_relative_to(self.root)]
        if left:
            raise DatacentreError(f"{self.root}: still mounted: {left}: umount them and run again")
        shutil.rmtree(self.root)
        remove_mount_points()

    def _command(self, argv: Sequence[str], cwd: Path | None) -> tuple[list[str], tuple[int, ...]]:
        fd = self.lock.fileno()
        command = self._space.command(argv, cwd, outer_fd=fd)
        return command, () if fd is None else (fd,)

    def _build(self, images: LabImages, hosts: Sequence[str]) -> None:
        outside = images.internet
        names = {ADDRESS: hosts}
        if outside is not None:
            names[internet.ADDRESS] = internet.HOSTS
        lay_out(self.root, names)
        self._space.create()
        for command in set_up(self.root, images.disk):
            self._inside(command)
        if outside is not None:
            for command in internet.set_up(outside.disks):
                self._inside(command)
        self._daemons(outside)
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
        (self.root / "stock").mkdir()
        for name in outside.disks if outside is not None else ():
            (self.root / "stock" / name).touch()
        self._domain_type.write_text(probe_kvm(images.kernel))
        self._ready.touch()

    def _daemons(self, outside: internet.Internet | None) -> None:
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
        if outside is not None:
            config = self.root / "Caddyfile"
            config.write_text(internet.caddyfile(outside, REGISTRY))
            self._space.daemon(internet.server(config), log / "internet.log")
            probes["internet"] = ["bash", "-c", f"exec 3<>/dev/tcp/{internet.ADDRESS}/443"]
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


def domains_of(vm: str, domains: Iterable[str]) -> list[str]:
    """Return those of the domains' names that a provider generated for a VM."""
    return [name for name in domains if re.fullmatch(rf"{vm}-domain-[0-9a-f]+", name)]


def make_images(stock: Sequence[str] = ()) -> LabImages:
    """The disk images and the container images, from the cache or made now."""
    layouts = containers.layouts()
    # Every VM needs it, and an emulated processor takes most of a minute to unpack it.
    preloaded = {name: path for name, path in layouts.items() if name.startswith("traefik:")}
    disk = debian.disk_image(preloaded)
    return LabImages(
        disk=disk,
        kernel=disk.with_name(debian.KERNEL),
        containers=layouts,
        internet=internet.made(stock) if stock else None,
    )
