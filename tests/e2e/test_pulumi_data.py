"""Data is not deleted without a word: the whole program under the real CLI, without VMs.

The plugins manage the files of a folder instead (`tests.support.world_plugin`).
"""

import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.vm.seed import image
from lab.commands import PROJECT
from lab.providers import VERSIONS
from lab.providers.serve import PREFIX
from lab.pulumi import cli, tools
from tests.e2e.test_pulumi import pulumi as pulumi
from tests.support.person import checkout

VOLUME = "docker:index/volume:Volume"
URN = f"urn:pulumi:test::gatehouse::gatehouse:service:Service${VOLUME}::db-web-0-data"


@dataclass(frozen=True, kw_only=True)
class Site:
    """A checkout with a stack, and a folder of what it made."""

    folder: Path
    environment: dict[str, str]

    @property
    def world(self) -> dict[str, str]:
        """Each VM, disk and volume, by its name."""
        files = (self.folder.parent / "world").iterdir()
        return {each.name: each.read_text() for each in files if each.name != "gone"}

    @property
    def data(self) -> dict[str, str]:
        """The domain, the disk and the Docker volume."""
        names = ("libvirt.Domain.web-0", "libvirt.Volume.web-0-disk", "docker.Volume.")
        return {name: each for name, each in self.world.items() if name.startswith(names)}

    def write(
        self,
        memory: str = "256MiB",
        services: dict[str, Any] | None = None,
        edge: dict[str, Any] | None = None,
    ) -> None:
        """Write the config.

        Args:
            memory: Of the VM.
            services: Its services; a database with a volume by default.
            edge: The edge.
        """
        file = self.folder / "Pulumi.test.yaml"
        raw = yaml.safe_load(file.read_text()) if file.exists() else {}
        raw["config"] = {
            "gatehouse:farm": {
                "hypervisors": [{"uri": f"qemu:///system?socket={self.folder.parent}/socket"}],
                "vms": 1,
                "image": str(self.folder.parent / "image.qcow2"),
                "memory": memory,
                "domain_type": "qemu",
            },
            "gatehouse:services": {"db": database()} if services is None else services,
            "gatehouse:edge": edge or {},
        }
        file.write_text(yaml.safe_dump(raw))

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run the CLI, and return its exit code and what it printed."""
        done = subprocess.run(
            ("pulumi", *arguments, "--non-interactive"),
            cwd=self.folder,
            env=self.environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
        )
        return done.returncode, done.stdout + done.stderr

    def ok(self, *arguments: str) -> str:
        """Run the CLI, which has to succeed."""
        code, text = self.run(*arguments)
        assert code == 0, text
        return text

    def refused(self, *arguments: str) -> str:
        """Run the CLI, which has to fail and to leave the data as it is."""
        before = self.data
        code, text = self.run(*arguments)
        assert code != 0, text
        assert self.data == before
        return text

    @contextmanager
    def not_listed(self, names: str = "^docker[.]") -> Iterator[None]:
        """Have Docker and libvirt not list some things.

        Args:
            names: A regular expression for their names.
        """
        gone = self.folder.parent / "world" / "gone"
        gone.write_text(names)
        yield
        gone.unlink()

    def lose_the_volume(self) -> None:
        """Have Docker list nothing while the state is refreshed."""
        with self.not_listed():
            self.ok("refresh", "--yes", "--skip-preview")


def database(*, expendable: bool = False) -> dict[str, Any]:
    volume = {"name": "data", "path": "/data", "expendable": expendable}
    return {
        "image": "db:1",
        "hosts": ["db.example.org"],
        "port": 8080,
        "volumes": [volume, {"host": "/srv/db", "path": "/files", "expendable": expendable}],
    }


OTHER = {"image": "o:1", "hosts": ["o.example.org"], "port": 80}


@pytest.fixture
def site(tmp_path: Path, pulumi: cli.Cli) -> Iterator[Site]:
    folder, stack, world = tmp_path / "gatehouse", tmp_path / "stack", tmp_path / "world"
    for each in (folder, stack, world):
        each.mkdir()
    checkout(folder)
    (tmp_path / "image.qcow2").write_bytes(image({"user-data": ""}))
    tools.lay_out(stack, pulumi, tools.Providers(name=tools.STAND_INS, reason=""))
    for name in VERSIONS:
        place = stack / "home" / "plugins" / tools.plugin(name) / f"{PREFIX}{name}"
        words = (sys.executable, "-m", "tests.support.world_plugin", place.name)
        place.write_text(
            f'#!/bin/sh\ncd {shlex.quote(str(PROJECT))}\nexec {shlex.join(words)} "$@"\n'
        )
    (stack / "passphrase").write_text("secret")
    (stack / "backend").mkdir()
    environment = {**tools.environment(stack, os.environ), "WORLD": str(world)}
    made = Site(folder=folder, environment=environment)
    with socket.socket(socket.AF_UNIX) as hypervisor:  # what checks that libvirt is there
        hypervisor.bind(str(tmp_path / "socket"))
        hypervisor.listen(64)
        made.ok("stack", "init", "test")
        made.write()
        yield made


def _forgotten(site: Site) -> None:
    site.ok("state", "delete", "--yes", "--force", "--target-dependents", URN)


def _renamed(site: Site) -> None:
    site.ok("state", "rename", "--yes", URN, "other")


@pytest.mark.parametrize(
    "lose",
    [Site.lose_the_volume, _forgotten, _renamed],
    ids=["refresh", "state-delete", "state-rename"],
)
def test_a_volume_that_left_the_state_is_data(site: Site, lose: Callable[[Site], None]) -> None:
    site.ok("up", "--yes", "--skip-preview")
    lose(site)
    site.write(memory="512MiB")
    for operation in (("preview",), ("up", "--yes", "--skip-preview"), ("up", "--yes")):
        text = site.refused(*operation)
        assert "services.db.volumes.0: the volume data on web-0 (/data in the container)" in text
        assert "services.db.volumes.1: the folder /srv/db on web-0" in text
        assert "farm.memory 256MiB -> 512MiB replaces web-0" in text
    site.write(services={"other": OTHER})
    assert "services.db is not in the config any more" in site.refused("preview")


def test_the_volume_is_made_again_with_a_warning_and_given_up_with_the_word(site: Site) -> None:
    site.ok("up", "--yes", "--skip-preview")
    before = site.data
    site.lose_the_volume()
    warning = "services.db.volumes.0: the volume data on web-0 is not in Pulumi's state any more"
    assert warning in site.ok("preview")
    site.ok("up", "--yes", "--skip-preview")
    assert before.items() < site.data.items(), "the old one is still there"
    assert warning not in site.ok("preview", "--expect-no-changes")
    site.write(memory="512MiB", services={"db": database(expendable=True)})
    site.ok("up", "--yes", "--skip-preview")
    vm = {name for name, _ in before.items() & site.data.items() if name.startswith("libvirt.")}
    assert not vm, "the word gave it up"


def test_a_volume_that_a_refresh_within_the_run_does_not_find_is_warned_of(site: Site) -> None:
    warning = "services.db.volumes.0: this update creates a new, empty volume data on web-0"
    for operation in (("preview",), ("up", "--yes")):
        assert warning not in site.ok(*operation), "there is none yet"
    (old,) = (name for name in site.data if name.startswith("docker.Volume."))
    unchanged: tuple[tuple[str, ...], ...] = (
        ("preview",),
        ("preview", "--refresh"),
        ("preview", "--replace", "**db-web-0-0"),
        ("up", "--yes", "--skip-preview", "--replace", "**web-0-boot"),
    )
    for each in unchanged:
        assert warning not in site.ok(*each)
    with site.not_listed():
        text = site.ok("preview", "--refresh")
        assert text.count(f"warning: {warning}") == 2, "beside the resource, and below"
        assert f"shows the old one ({old.removeprefix('docker.Volume.')}), do not continue" in text
    replaced = site.refused("preview", "--replace", URN)
    assert warning in replaced
    assert "protect" in replaced
    before = site.data
    with site.not_listed():
        assert warning in site.ok("up", "--yes", "--skip-preview", "--refresh")
    assert before.items() < site.data.items(), "the old one is still there"
    assert warning not in site.ok("preview", "--refresh", "--expect-no-changes")


def test_a_disk_that_a_refresh_within_the_run_does_not_find_is_warned_of(site: Site) -> None:
    site.ok("up", "--yes", "--skip-preview")
    warning = "web-0: this update creates a new, empty disk in place of one that holds data"
    assert warning not in site.ok("preview", "--refresh")
    (old,) = (name for name in site.data if name.startswith("libvirt.Volume.web-0-disk"))
    with site.not_listed("web-0-disk"):
        text = site.refused("preview", "--refresh")
        assert warning in text
        assert f"the old one ({old.removeprefix('libvirt.Volume.')}) is still in /var/lib" in text
    assert warning in site.refused("preview", "--replace", "**web-0-disk")
    with site.not_listed("web-0-domain"):
        assert warning not in site.ok("preview", "--refresh"), "the new domain has the same disk"


def test_the_reservation_of_the_edges_address_is_replaced_alone(site: Site) -> None:
    site.write(edge={"vm": True})
    site.ok("up", "--yes", "--skip-preview")
    before = site.world
    log = site.folder.parent / "world" / "commands"
    log.write_text("")
    site.ok("up", "--yes", "--skip-preview", "--replace", "**web-edge-address")
    done = log.read_text().split()
    assert done == ["delete:web-edge-address", "create:web-edge-address"]
    assert {**site.world, "commands": ""} == {**before, "commands": ""}, "no VM was replaced"
