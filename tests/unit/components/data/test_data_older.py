"""The states of older versions, which kept less about data."""

import copy
from typing import Any

import pytest

from components.config.loading import parse
from components.data import guard
from components.data import state as state_of
from components.host.container_vm import farm_generation, first_boot_text
from tests.support.data import DATA, FOLDER, config, state, wanted


def older(raw: dict[str, Any], **of_farm: Any) -> dict[str, Any]:
    """Return the state that a version of Gatehouse left which kept no records."""
    found = copy.deepcopy(state(raw))
    farm, start = parse(raw).farm, "urn:pulumi:test::gatehouse::some$type::"

    def add(kind: str, known_as: str, /, **outputs: Any) -> None:
        found[start + known_as] = {"type": kind, "outputs": outputs}

    for resource in found.values():
        if resource["type"].startswith("gatehouse:"):
            resource["outputs"] = {}
    add("libvirt:index/pool:Pool", "farm-pool", target={"path": f"{farm.hypervisor.pool}/test"})
    add("libvirt:index/volume:Volume", "farm-image", source=farm.image)
    generation = farm_generation("the-image", farm)
    room = {"GATEHOUSE_GENERATION": generation, **of_farm}
    add("command:local:Command", "farm-room", environment=room)
    add("libvirt:index/network:Network", "farm-network", addresses=[str(farm.cidr)])
    for vm in wanted(raw).vms:
        add(
            *("libvirt:index/domain:Domain", f"{vm}-domain"),
            memory=farm.memory / 2**20,
            vcpu=2.0,
            type=farm.domain_type,
        )
        disk = {"size": float(farm.disk), "baseVolumeId": "the-image"}
        add("libvirt:index/volume:Volume", f"{vm}-disk", **disk)
        add("docker:index/volume:Volume", f"hello-{vm}-data", name=f"hello-{vm}-data-1a2b3c4")
        mounts = [
            {"containerPath": "/data", "volumeName": f"hello-{vm}-data-1a2b3c4", "hostPath": ""},
            {"containerPath": "/files", "hostPath": "/srv/hello"},
        ]
        add("docker:index/container:Container", f"hello-{vm}-0", volumes=mounts)
    return found


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"farm__memory": "512MiB"}, "farm.memory 256MiB -> 512MiB replaces web-0 and web-1"),
        ({"farm__vcpus": 4}, "farm.vcpus 2 -> 4 replaces"),
        ({"farm__disk": "30GiB"}, "farm.disk 20GiB -> 30GiB replaces"),
        ({"farm__image": "https://x/13"}, "-> https://x/13 replaces"),
        ({"farm__packages": ["htop"]}, "Gatehouse's first-boot text or one of farm.packages"),
        ({"farm__vms": 1}, "farm.vms 2 -> 1 takes away web-1"),
        ({"farm__network": {"cidr": "10.9.0.0/24"}}, "10.90.0.0/24 -> 10.9.0.0/24 replaces"),
        ({"farm__name": "app"}, "farm.name web -> app"),
        ({"farm__hypervisors": [{"pool": "/b"}]}, "/var/lib/libvirt/gatehouse -> /b replaces"),
        (
            {"services__hello__replicas": 1},
            "replicas and placement of services.hello leave web-1 without a container",
        ),
    ],
)
def test_a_stack_of_an_older_version_is_read_off_its_resources(
    changes: dict[str, Any], why: str
) -> None:
    before, after = older(config(DATA, FOLDER)), config(DATA, FOLDER, **changes)
    there = state_of.kept(before, parse(after).farm)
    volume, folder = guard.problems(there, wanted(after), parse(after))
    assert volume.startswith("services.hello.volumes.0: the volume data on web-")
    assert "(/data in the container)" in volume
    assert folder.startswith("services.hello.volumes.1: the folder /srv/hello on web-")
    assert why in volume
    assert why in folder
    same = config(DATA, FOLDER)
    there = state_of.kept(before, parse(same).farm)
    assert guard.problems(there, wanted(same), parse(same)) == ()
    assert guard.stays(there, wanted(same)) == {}
    without = config(FOLDER)
    (problem,) = guard.problems(there, wanted(without), parse(without))
    assert problem.startswith("services.hello.volumes: the volume data on web-0 and web-1")


def test_a_first_boot_text_that_was_not_kept_is_not_guessed_at() -> None:
    raw = config(DATA)
    before = state_of.kept(older(raw, GATEHOUSE_GENERATION="another"), parse(raw).farm)
    (problem, _) = guard.problems(before, wanted(raw), parse(raw))
    assert "Keep the old version and values" in problem
    assert before.vms["web-0"].text != first_boot_text(parse(raw).farm)
