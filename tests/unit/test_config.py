"""What the config accepts, and the exact messages for what it does not."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import config
from components.config import ConfigError, machine_problems, parse
from tests.unit.program import PROJECT

BASE: dict[str, Any] = {
    "farm": {"vms": 2, "image": "/images/debian.qcow2"},
    "services": {"app": {"image": "app:1", "hosts": ["a.example.org"], "port": 80}},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    raw = copy.deepcopy(BASE)
    *parents, last = path.split("/")
    place = raw
    for parent in parents:
        place = place.setdefault(parent, {})
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return raw


WRONG = [
    ("farm/vms", 0, "farm.vms: must be at least 1 (got 0)"),
    ("farm/vms", -1, "farm.vms: must be at least 1 (got -1)"),
    ("farm/vms", "2", 'farm.vms: must be a whole number (got "2")'),
    ("farm/vms", 1.5, "farm.vms: must be a whole number (got 1.5)"),
    ("farm/vms", True, "farm.vms: must be a whole number (got true)"),
    ("farm/vms", ..., "farm.vms: is required (got nothing)"),
    ("farm", ..., "farm: is required (got nothing)"),
    ("farm", "two", "farm: must be a map of keys (got two)"),
    ("farm/image", ..., "farm.image: is required (got nothing)"),
    ("farm/vmz", 2, "farm.vmz: unknown key; did you mean vms? (got 2)"),
    (
        "farm/memory",
        "2GB",
        "farm.memory: must be a size such as 512MiB, 2GiB or 1TiB (got 2GB)",
    ),
    ("farm/memory", 2, "farm.memory: must be a size such as 512MiB, 2GiB or 1TiB (got 2)"),
    (
        "farm/disk",
        "0.5MiB",
        "farm.disk: must be a whole number of MiB, at least 1MiB (got 0.5MiB)",
    ),
    ("farm/domain_type", "xen", "farm.domain_type: must be 'kvm' or 'qemu' (got xen)"),
    (
        "farm/network",
        {"cidr": "10.0.0.1/24"},
        "farm.network.cidr: must be an IPv4 network such as 10.90.0.0/24 (got 10.0.0.1/24)",
    ),
    (
        "farm/network",
        {"cidr": "10.0.0.0/30"},
        "farm.network.cidr: must have room for VMs: a prefix of /29 or shorter (got 10.0.0.0/30)",
    ),
    (
        "farm/boot_timeout",
        "10",
        'farm.boot_timeout: must be a duration such as 30s, 10m or 1h30m (got "10")',
    ),
    (
        "farm/registry_mirror",
        "192.0.2.1:5000",
        "farm.registry_mirror: must be a URL such as http://192.0.2.1:5000 (got 192.0.2.1:5000)",
    ),
    (
        "farm/packages",
        ["docker.io; reboot"],
        "farm.packages.0: must be the name of a Debian package (got docker.io; reboot)",
    ),
    ("farm/packages", "docker.io", "farm.packages: must be a list (got docker.io)"),
    ("services", {}, "services: must have at least 1 entry (got {})"),
    (
        "services/app/replicas",
        0,
        "services.app.replicas: must be at least 1 (got 0)",
    ),
    ("services/app/replicas", -3, "services.app.replicas: must be at least 1 (got -3)"),
    ("services/app/port", 65536, "services.app.port: must be at most 65535 (got 65536)"),
    ("services/app/port", ..., "services.app.port: is required (got nothing)"),
    ("services/app/hosts", [], "services.app.hosts: must have at least 1 entry (got [])"),
    (
        "services/app/hosts",
        ["A.example.org"],
        "services.app.hosts.0: must be a domain such as www.example.org, in lower case"
        " (got A.example.org)",
    ),
    (
        "services/app/hosts",
        ["a.example.org`) || Host(`b"],
        "services.app.hosts.0: must be a domain such as www.example.org, in lower case"
        " (got a.example.org`) || Host(`b)",
    ),
    (
        "services/app/hosts",
        ["a.example.org\n"],
        "services.app.hosts.0: must be a domain such as www.example.org, in lower case"
        " (got a.example.org\n)",
    ),
    (
        "services/app/hosts",
        ["a.example.org", "a.example.org"],
        "services.app.hosts.1: is given twice (got a.example.org)",
    ),
    (
        "services/app/path",
        "shop",
        "services.app.path: must be a path: a slash, then letters, digits and any of . _ ~ / -"
        " (got shop)",
    ),
    (
        "services/app/image",
        "app@sha256:abc",
        "services.app.image: must be an image name such as matomo:5-apache or"
        " name@sha256:<64 hex digits> (got app@sha256:abc)",
    ),
    (
        "services/app/replica",
        2,
        "services.app.replica: unknown key; did you mean replicas? (got 2)",
    ),
    (
        "services/app/env",
        {"A": 1},
        "services.app.env.A: must be text; put it in quotes (got 1)",
    ),
    (
        "services/app/env",
        {"A-B": "1"},
        "services.app.env.A-B: must be a name of letters, digits and underscores (got A-B)",
    ),
    (
        "services/App",
        {},
        "services.App: must be lower-case letters, digits and hyphens, at most 30, a letter first"
        " (got App)",
    ),
    (
        "services/shop",
        {"image": "shop:1", "hosts": ["a.example.org"], "port": 80},
        "services.shop.hosts.0: is claimed by services.app with the same path /"
        " (got a.example.org)",
    ),
    (
        "edge/host",
        "edge.example.org",
        "edge.host_key: is required with edge.host, so that the first connection is verified"
        " already; see `ssh-keyscan edge.example.org` (got nothing)",
    ),
    (
        "edge/folder",
        "/var/lib/../../etc passwd",
        "edge.folder: must be an absolute path without spaces (got /var/lib/../../etc passwd)",
    ),
    ("edge/port", "80", 'edge.port: must be a whole number (got "80")'),
    ("edge/bind", "everywhere", "edge.bind: must be an IP address (got everywhere)"),
    ("egde", {}, "egde: unknown key; did you mean edge? (got {})"),
]


@pytest.mark.parametrize(("path", "value", "message"), WRONG, ids=lambda part: str(part)[:40])
def test_a_mistake_is_told_by_its_path(path: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(changed(path, value))
    assert message in error.value.problems


def test_all_mistakes_are_told_at_once() -> None:
    raw = changed("services/app/replicas", 0)
    raw["farm"]["vms"] = 0
    with pytest.raises(ConfigError) as error:
        parse(raw)
    assert error.value.problems == (
        "farm.vms: must be at least 1 (got 0)",
        "services.app.replicas: must be at least 1 (got 0)",
    )
    assert str(error.value).startswith(
        "the stack config is wrong, nothing was changed:\n  farm.vms"
    )


def test_more_vms_than_the_network_has_addresses() -> None:
    raw = changed("farm/network", {"cidr": "10.0.0.0/29"})
    raw["farm"]["vms"] = 6
    with pytest.raises(ConfigError, match=r"farm\.vms: must be at most 5.*10\.0\.0\.0/29"):
        parse(raw)


def test_two_services_share_a_domain_by_their_paths() -> None:
    shop = {"image": "shop:1", "hosts": ["a.example.org"], "port": 80, "path": "/shop"}
    assert set(parse(changed("services/shop", shop)).services) == {"app", "shop"}


def test_defaults() -> None:
    stack = parse(BASE)
    assert stack.farm.domain_type == "kvm"
    assert stack.farm.boot_timeout == 600
    assert stack.services["app"].replicas == 1
    assert stack.services["app"].check.path == "/"


def test_a_missing_image_is_told_before_anything_is_made() -> None:
    assert list(machine_problems(parse(changed("farm/memory", "64MiB")))) == [
        "farm.image: does not exist; give a readable qcow2 file or a URL (got /images/debian.qcow2)"
    ]


def test_memory_that_the_hypervisor_does_not_have(tmp_path: Path) -> None:
    image = tmp_path / "image.qcow2"
    image.touch()
    raw = changed("farm/memory", "100TiB")
    raw["farm"]["image"] = str(image)
    (problem,) = machine_problems(parse(raw))
    assert problem.startswith("farm.memory: 2 VMs of 100TiB do not fit the hypervisor's ")
    assert problem.endswith("lower farm.memory or farm.vms (got 100TiB)")


def test_another_machines_disk_and_memory_are_not_judged_by_this_ones() -> None:
    raw = changed("farm/memory", "100TiB")
    raw["farm"]["hypervisor"] = "qemu+ssh://root@kvm1.example.org/system"
    assert list(machine_problems(parse(raw))) == []


@pytest.mark.parametrize("stack", ["lab", "prod"])
def test_the_stacks_that_come_with_gatehouse_are_valid(stack: str) -> None:
    document = yaml.safe_load((PROJECT / f"Pulumi.{stack}.yaml").read_text())
    raw = {key.removeprefix("gatehouse:"): value for key, value in document["config"].items()}
    assert isinstance(parse(raw), config.Stack)
