"""The first day: VMs of images as Debian makes them, in a lab of its own with what they reach.

The config says nothing but what it has to. So cloud-init installs Docker, from deb.debian.org, and
images come from Docker Hub: the lab has a part of either. It is also done with Debian 13, with the
stack file of production, with a ready disk image, and with what may fail. All of it boots VMs of
its own, some for a quarter of an hour without KVM: with E2E_LONG=1.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.host.traefik import IMAGE
from controller import firstboot
from lab import internet
from lab.commands import PROJECT
from lab.images import containers, disk, stock
from tests.support.driver import LAB, Driver, long

DEBIAN_12 = str(stock.PLACE / "debian-12-genericcloud-amd64.qcow2")
DEBIAN_13 = str(stock.PLACE / "debian-13-genericcloud-amd64.qcow2")

pytestmark = long

EMULATED = {
    "farm.domain_type": "qemu",  # the lab's commands say kvm where that runs
    "farm.boot_timeout": "40m",  # 10 minutes are enough for a real processor
    # Two emulated ones have hung in the kernel's first second, once, on a busy machine.
    "farm.vcpus": 1,
}
HELLO = {
    "image": "hello:1",
    "hosts": ["hello.lab"],
    "port": 8080,
    "replicas": 1,
    "health": {"path": "/health"},
}
"""An image by its plain name, which is Docker Hub's."""


def first_day(driver: Driver, image: str, **farm: Any) -> None:
    """Have the config of somebody who has read nothing but what is required."""
    config = {
        "farm": {"vms": 1, "image": image, **farm},
        "services": {"hello": HELLO},
        "edge": {"bind": "198.18.0.1", "tls": {"self_signed": True}},
    }
    document = {"config": {f"gatehouse:{key}": value for key, value in config.items()}}
    driver.config.write_text(yaml.safe_dump(document, sort_keys=False))
    driver.configure(EMULATED)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """Drive the lab; each test applies a config of its own."""
    made = Driver(Path(tmp_path_factory.mktemp("stock")), f"{LAB}-stock")
    made.run("down")
    yield made
    made.run("down")


def told_by(driver: Driver, command: str) -> str:
    """Return what root sees of a command on the VM, be it an error."""
    return driver.as_root("web-0", f"({command}) 2>&1 || true")


def test_a_vm_of_a_stock_image_serves_with_the_defaults(driver: Driver) -> None:
    first_day(driver, DEBIAN_12)
    began = time.monotonic()
    result = driver.ok("up")
    print(f"stock image, from nothing to a 200: {time.monotonic() - began:.0f} s")
    assert "GET https://hello.lab/ through the edge at 198.18.0.1:443: 200" in result.last_line
    driver.smoke()
    result_file = json.loads(told_by(driver, f"cat {firstboot.RESULT}"))
    assert result_file["v1"]["errors"] == []
    assert "NoCloud" in result_file["v1"]["datasource"]


def test_the_first_boot_installed_what_the_image_had_not(driver: Driver) -> None:
    log = told_by(driver, "cat /var/log/cloud-init-output.log")
    for package in ("docker.io", "chrony", "nftables"):
        assert f"Setting up {package} " in log
    assert f"https://{internet.ARCHIVE}/debian bookworm InRelease" in log
    assert firstboot.cause(log) is None, "no line of a good log is taken for a cause"
    assert told_by(driver, "docker info --format '{{json .RegistryConfig.Mirrors}}'") in (
        "null\n",
        "[]\n",
    )
    size = int(told_by(driver, "df --output=size -B1 / | tail -n 1"))
    assert size > 18 * 2**30, "the root partition has grown to the default disk"
    assert "0 upgraded, 0 newly installed" in told_by(
        driver, "apt-get install --simulate apparmor docker.io chrony nftables unattended-upgrades"
    )


# What apt says where something is wrong, on that VM, without another boot; and the part of the
# advice that the gate would give.
WRONG = {
    "no name server": (
        "mv /etc/resolv.conf /tmp/kept; echo nameserver 127.0.0.1 >/etc/resolv.conf;"
        " apt-get update; mv /tmp/kept /etc/resolv.conf",
        "does not reach a mirror",
    ),
    "no route": (
        f"ip route add unreachable {internet.ADDRESS}; apt-get update;"
        f" ip route del unreachable {internet.ADDRESS}",
        "does not reach a mirror",
    ),
    "no such package": ("apt-get install --yes no-such-package", "see farm.packages"),
    "no such version": ("apt-get install --yes chrony=9.9-9", "see farm.packages"),
    "a clock that is years slow": (
        "date --set @1500000000; apt-get update; date --set @{now:.0f}",
        "clock is wrong",
    ),
    "a clock that is years fast": (
        "date --set @2100000000; apt-get update; date --set @{now:.0f}",
        "clock is wrong",
    ),
    "a full disk": (
        "mount -t tmpfs -o size=4k tmpfs /var/cache/apt/archives;"
        " apt-get install --yes --reinstall needrestart; umount /var/cache/apt/archives",
        "larger farm.disk",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_the_line_that_matters_is_found_in_what_apt_really_says(driver: Driver, wrong: str) -> None:
    command, advice = WRONG[wrong]
    boot_log = told_by(driver, command.replace("{now:.0f}", f"{time.time():.0f}"))
    cause = firstboot.cause(boot_log)
    assert cause is not None, boot_log
    assert advice in cause.advice, (cause, boot_log)


BROKEN = {
    "a package that is not there": (
        {"packages": ["no-such-package"]},
        (),
        r"E: Unable to locate package no-such-package\n +the mirror has no such package",
    ),
    "no way to the mirror": (
        {},
        ("ip", "address", "del", f"{internet.ADDRESS}/32", "dev", "internet"),
        r"deb\.debian\.org.*\n +the VM does not reach a mirror",
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_first_boot_that_fails_says_so_before_its_time_is_over(
    driver: Driver, broken: str
) -> None:
    farm, break_it, why = BROKEN[broken]
    first_day(driver, DEBIAN_12, **farm)
    driver.run("down")
    driver.datacentre.start(["hello.lab"], [Path(DEBIAN_12).name])
    if break_it:
        driver.inside(*break_it)
    result = driver.run("up")
    assert result.code != 0
    assert "web-0" in result.text
    assert "its first boot ended with errors, without Docker over SSH" in result.text
    assert re.search(why, result.text), result.text
    assert "still waiting" not in result.text, "it took as long as it may"


def test_an_image_without_cloud_init_is_told_when_its_time_is_over(
    driver: Driver, tmp_path: Path
) -> None:
    driver.run("down")
    driver.datacentre.start(["hello.lab"], [Path(DEBIAN_12).name])
    raw, without = tmp_path / "disk.raw", tmp_path / "without.qcow2"
    driver.inside("qemu-img", "convert", "-O", "raw", DEBIAN_12, str(raw))
    generator = "rm /usr/lib/systemd/system-generators/cloud-init-generator"
    inside_image(raw, generator)
    driver.inside("qemu-img", "convert", "-O", "qcow2", str(raw), str(without))
    raw.unlink()
    first_day(driver, str(without))
    driver.set_config("farm/boot_timeout", "6m")
    result = driver.run("up")
    assert result.code != 0
    assert re.search(r"login:\s*\n +it booted without any output of cloud-init", result.text), (
        result.text
    )


def inside_image(raw: Path, request: str) -> str:
    """Have debugfs carry out a request on the root file system of a raw disk."""
    done = subprocess.run(
        ("debugfs", "-w", "-R", request, f"{raw}?offset={disk.PARTITION_START}"),
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def test_debian_13_serves_with_the_defaults_too(driver: Driver) -> None:
    driver.run("down")
    first_day(driver, DEBIAN_13)
    driver.ok("up")
    driver.smoke()
    assert "trixie" in told_by(driver, "cat /etc/os-release")
    log = told_by(driver, "cat /var/log/cloud-init-output.log")
    assert "Setting up docker.io " in log
    assert firstboot.cause(log) is None


def test_a_ready_image_has_nothing_of_its_builder_and_serves(
    driver: Driver, tmp_path: Path
) -> None:
    out, raw = tmp_path / "ready.qcow2", tmp_path / "ready.raw"
    layout = containers.layouts()[IMAGE]
    tag = IMAGE.rpartition(":")[2]
    subprocess.run(
        (sys.executable, "-m", "lab.images.production", out, "--traefik", f"oci:{layout}:{tag}"),
        cwd=PROJECT,
        check=True,
    )
    subprocess.run(("qemu-img", "convert", "-O", "raw", out, raw), check=True)
    assert "ssh_host_" not in inside_image(raw, "ls /etc/ssh")
    assert inside_image(raw, "cat /etc/machine-id") == ""
    assert "machine-id" not in inside_image(raw, "ls /var/lib/dbus")
    assert "authorized_keys" not in inside_image(raw, "ls /root/.ssh")
    assert "gatehouse-lab" not in inside_image(raw, "ls /usr/local/share/ca-certificates")
    assert "instance" not in inside_image(raw, "ls /var/lib/cloud")
    raw.unlink()
    driver.run("down")
    first_day(driver, str(out), install_docker=False, registry_mirror="http://198.18.0.1:5000")
    began = time.monotonic()
    driver.ok("up")
    print(f"ready image, from nothing to a 200: {time.monotonic() - began:.0f} s")
    driver.smoke()


NOT_IN_THE_LAB = {
    **EMULATED,
    # Neither image can be fetched; the lab's own takes its place, and listens on another port.
    "services.matomo.image": "hello:1",
    "services.matomo.port": 8080,
    "services.www.image": "hello:2",
    "services.www.port": 8080,
    # The lab's mirror is on the same host, and has port 80 of its own address.
    "edge.bind": "198.18.0.1",
}
"""All that has to be changed in Pulumi.prod.yaml."""


def test_productions_stack_file_runs_as_it_stands(driver: Driver) -> None:
    driver.run("down")
    driver.config.write_text((PROJECT / "Pulumi.prod.yaml").read_text())
    driver.configure(NOT_IN_THE_LAB)
    driver.ok("up")
    assert len(driver.smoke()) == 6
    assert set(driver.outputs()["vms"]) == {"web-0", "web-1"}
