"""Configs that do not fit the machine, and the stack files that come along."""

import dataclasses
import gzip
import ipaddress
import lzma
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.config import checks, machine
from components.config.loading import ConfigError, parse
from components.config.machine import MachineFacts, hypervisor_problem, parse_networks
from components.config.models.stack import Stack
from components.vm import seed
from tests.support.configs import BASE, BRIDGE, HTTP, changed
from tests.support.program import PROJECT, run


def on(facts: MachineFacts, raw: dict[str, Any] = BASE) -> list[str]:
    return list(checks.on_this_machine(parse(raw), facts))


def test_a_missing_image_is_told_before_anything_is_made() -> None:
    assert on(MachineFacts(image_problem="does not exist")) == [
        "farm.image: does not exist; give a readable qcow2 file or a URL (got /images/debian.qcow2)"
    ]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("debian.qcow2.xz", lzma.compress(b"x"), "compressed with xz, so unpack it"),
        ("debian.qcow2.gz", gzip.compress(b"x"), "compressed with gzip, so unpack it"),
        ("debian.tar", b"disk.raw" + bytes(600), "something else"),
        ("404.qcow2", b"<!DOCTYPE html><title>404", "a web page or other markup"),
        ("debian.raw", b"\xeb\x63\x90" + bytes(509), "a raw disk, so convert it with `qemu-img"),
        ("sparse.qcow2", bytes(512), "empty"),
        ("none.qcow2", b"", "empty"),
        ("cut.qcow2", seed.qcow2(bytes(512))[:20], "only the beginning of one"),
    ],
    ids=["xz", "gzip", "tar", "a web page", "raw", "zeros", "empty", "cut off"],
)
def test_an_image_that_is_no_disk_image_is_told_before_anything_is_made(
    name: str, content: bytes, problem: str, tmp_path: Path
) -> None:
    image = tmp_path / name
    image.write_bytes(content)
    raw = changed("farm/image", str(image))
    (problem_of_image,) = [each for each in on(machine.facts(parse(raw)), raw) if "image" in each]
    assert problem_of_image.startswith("farm.image: is not a qcow2 disk image but ")
    assert problem in problem_of_image
    assert problem_of_image.endswith(f"give a readable qcow2 file or a URL (got {image})")


def test_a_disk_is_at_least_as_large_as_the_image_that_qemu_made(tmp_path: Path) -> None:
    qemu = shutil.which("qemu-img")
    if qemu is None:
        pytest.skip("qemu-img is not installed")
    image, layer = tmp_path / "a.qcow2", tmp_path / "b.qcow2"
    subprocess.run((qemu, "create", "-q", "-f", "qcow2", image, "3G"), check=True)
    backed = ("-b", image, "-F", "qcow2", layer)
    subprocess.run((qemu, "create", "-q", "-f", "qcow2", *backed), check=True)
    raw = changed("farm/image", str(image))
    raw["farm"]["disk"] = "2GiB"
    raw["edge"] = {"vm": {"disk": "3071MiB"}}
    found = dataclasses.replace(machine.facts(parse(raw)), memory=None, kvm=True)
    assert on(found, raw) == [
        "farm.disk: is smaller than the image's disk, which has 3.0GiB; give at least that"
        " (got 2GiB)",
        "edge.vm.disk: is smaller than the image's disk, which has 3.0GiB; give at least that"
        " (got 3071MiB)",
    ]
    raw["farm"]["disk"], raw["edge"] = "3GiB", {"vm": {"disk": "3GiB"}}
    assert on(found, raw) == []
    raw = changed("farm/image", str(layer))
    assert machine.facts(parse(raw)).image_problem == (
        "is a layer on another image; flatten it with `qemu-img convert -O qcow2`"
    )


def test_memory_that_the_hypervisor_does_not_have() -> None:
    assert on(MachineFacts(memory=3 * 2**30)) == [
        "farm.memory: 2 VMs of 2GiB do not fit the hypervisor's 3.0GiB; lower farm.memory or"
        " farm.vms (got 2GiB)"
    ]
    assert on(MachineFacts(memory=4 * 2**30)) == []
    assert on(MachineFacts(memory=4 * 2**30), changed("edge/vm", True)) == [
        "farm.memory: 2 VMs of 2GiB and the edge's 1GiB do not fit the hypervisor's 4.0GiB; lower"
        " farm.memory or farm.vms (got 2GiB)"
    ]


def test_a_hypervisor_without_kvm() -> None:
    assert on(MachineFacts(kvm=False)) == [
        "farm.domain_type: the hypervisor has no /dev/kvm; turn virtualization on in its firmware,"
        " or use qemu, which emulates and is slow (got kvm)"
    ]
    assert on(MachineFacts(kvm=False), changed("farm/domain_type", "qemu")) == []


def test_an_error_page_that_cannot_be_used_is_told_by_its_path(tmp_path: Path) -> None:
    good, large, odd = (tmp_path / name for name in ("good.html", "large.html", "odd.html"))
    good.write_text("<p>é" + "x" * 59_995)
    large.write_text("x" * 60_001)
    odd.write_bytes(b"\xff")
    pages = {"403": good, "429": large, "502": odd, "503": tmp_path / "none.html"}
    raw = changed(f"{HTTP}/error_pages", {status: str(page) for status, page in pages.items()})
    facts = machine.facts(parse(raw))
    problems = [each for each in on(facts, raw) if "error_pages" in each]
    path = "services.app.http.error_pages"
    assert problems == [
        f"{path}.429: has 60001 bytes, but HAProxy keeps an answer in one buffer and takes at most"
        f" 60000; put images and styles elsewhere (got {large})",
        f"{path}.502: must be text in UTF-8 (got {odd})",
        f"{path}.503: cannot be read: No such file or directory (got {tmp_path}/none.html)",
    ]


LINKS = """[
 {"ifname": "lo", "addr_info": [{"local": "127.0.0.1", "prefixlen": 8}]},
 {"ifname": "eth0", "addr_info": [{"local": "10.90.7.3", "prefixlen": 16}]},
 {"ifname": "virbr1", "addr_info": [{"local": "10.90.0.1", "prefixlen": 24}]},
 {"ifname": "wlan0"}
]"""


def test_a_cidr_that_overlaps_a_network_of_the_host() -> None:
    networks = parse_networks(LINKS)
    assert ("eth0", ipaddress.IPv4Interface("10.90.7.3/16")) in networks
    assert on(MachineFacts(networks=networks)) == [
        "farm.network.cidr: overlaps 10.90.0.0/16 of this machine's interface eth0; choose another"
        " one (got 10.90.0.0/24)"
    ], "and the bridge that libvirt made for this very network is no conflict"


def test_another_machines_disk_and_memory_are_not_judged_by_this_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("components.config.machine._networks", lambda: pytest.fail("was asked"))
    raw = changed("farm/hypervisors", [{"uri": "qemu+ssh://root@kvm1.example.org/system"}])
    raw["farm"]["network"] = {**BRIDGE, "addresses": ["192.0.2.10/24", "192.0.2.11/24"]}
    assert machine.facts(parse(raw)).memory is None


@pytest.mark.parametrize("stack", ["lab", "prod"])
def test_the_stacks_that_come_with_gatehouse_are_valid(stack: str) -> None:
    document = yaml.safe_load((PROJECT / f"Pulumi.{stack}.yaml").read_text())
    raw = {key.removeprefix("gatehouse:"): value for key, value in document["config"].items()}
    assert isinstance(parse(raw), Stack)


@pytest.mark.parametrize("uri", ["qemu:///system", "qemu+unix:///system"])
def test_a_libvirt_that_does_not_run_is_named_with_its_key(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "libvirt-sock"
    monkeypatch.setattr(machine, "_LIBVIRT", str(path))
    assert hypervisor_problem(uri) == (f"no libvirt answers at {path}: No such file or directory")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        assert hypervisor_problem(uri) == f"no libvirt answers at {path}: Connection refused"
        listener.listen()
        assert hypervisor_problem(uri) is None
        monkeypatch.setattr(machine, "_LIBVIRT", "/nowhere")
        assert hypervisor_problem(f"{uri}?socket={path}") is None


def test_a_libvirt_elsewhere_or_of_a_session_is_not_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "_LIBVIRT", "/nowhere")
    for uri in ("qemu+ssh://root@kvm1.example.org/system?no_verify=1", "qemu:///session"):
        assert hypervisor_problem(uri) is None


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICDZWmBJxt0ifMPUQBmGSq7kB8/CXFJ1DfYxmsu6SzFY"


@pytest.mark.parametrize(
    ("uri", "line"),
    [
        ("qemu+ssh://root@kvm1.example.org/system", "kvm1.example.org"),
        ("qemu+ssh://root@kvm1.example.org:2222/system", "[kvm1.example.org]:2222"),
        ("qemu+ssh://root@192.0.2.7/system?keyfile=/x", "192.0.2.7"),
    ],
)
def test_a_hypervisor_whose_host_key_is_unknown_is_named_with_what_to_do(
    uri: str, line: str, tmp_path: Path
) -> None:
    known = tmp_path / "known"
    uri += ("&" if "?" in uri else "?") + f"knownhosts={known}"
    for text in (None, f"other.example.org {KEY}\n"):
        if text is not None:
            known.write_text(text)
        problem = hypervisor_problem(uri)
        assert problem is not None
        assert f"is not in {known}, so libvirt cannot be reached there; run `ssh-keyscan" in problem
    known.write_text(f"{line} {KEY}\n")
    assert hypervisor_problem(uri) is None


def test_a_stack_without_its_libvirt_ends_before_anything_is_registered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "hypervisor_problem", lambda _: "no libvirt answers at /x: why")
    with pytest.raises(ConfigError) as caught:
        run(BASE)
    assert (
        "farm.hypervisors.0.uri: no libvirt answers at /x: why; install libvirt and start it"
        " (`systemctl enable --now libvirtd`), or give another hypervisor's URI (got"
        " qemu:///system)"
    ) in caught.value.problems
