"""Data is not deleted without a word: what is there, what is wanted, and what is said about it."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config.loading import parse
from components.config.models.stack import Stack
from components.data import guard, inventory
from components.data import state as state_of
from components.data.inventory import Inventory
from components.host.container_vm import farm_generation, first_boot_text
from components.placement import allowed, spread, vm_names
from tests.support import program

DATA = {"name": "data", "path": "/data", "shared": True}
FOLDER = {"host": "/srv/hello", "path": "/files", "shared": True}
SAID = "`expendable: true`"


def config(*volumes: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a config of two VMs with a service on both."""
    return program.config(services__hello__volumes=list(volumes), **changes)


def expendable(volume: dict[str, Any]) -> dict[str, Any]:
    return {**volume, "expendable": True}


def placed(stack: Stack) -> dict[str, dict[str, int]]:
    names = vm_names(stack.farm.name, stack.farm.vms)
    return {
        name: spread(service.replicas, allowed(service.placement.vms, names))
        for name, service in stack.services.items()
    }


def wanted(raw: dict[str, Any], name: str = "test") -> Inventory:
    stack = parse(raw)
    return inventory.wanted(stack, name, placed(stack))


def state(raw: dict[str, Any]) -> dict[str, Any]:
    """Return what an update with a config leaves in the state, of what is read of it."""
    stack, start = parse(raw), "urn:pulumi:test::gatehouse::some$type::"
    found: dict[str, Any] = {}
    for vm, made in wanted(raw).vms.items():
        record = {"reasons": dict(made.reasons), "text": made.text, "generation": f"of {vm}"}
        found[start + vm] = {"type": "gatehouse:vm:Vm", "outputs": {"made": record}}
        disk = {"type": "libvirt:index/volume:Volume", "outputs": {"size": 1.0}}
        found[f"{start}{vm}-disk"] = disk
    for name, service in stack.services.items():
        outputs = inventory.kept_of_service(service, name, placed(stack)[name])
        found[start + name] = {"type": "gatehouse:service:Service", "outputs": outputs}
        for vm in placed(stack)[name]:
            for volume in (each.name for each in service.volumes if each.name is not None):
                known_as = f"{start}{name}-{vm}-{volume}"
                found[known_as] = {"type": "docker:index/volume:Volume", "outputs": {}}
            slot = f"{start}{name}-{vm}-0"
            found[slot] = {"type": "docker:index/container:Container", "outputs": {}}
    return found


def kept(raw: dict[str, Any]) -> Inventory:
    return state_of.kept(state(raw), parse(raw).farm)


def problems(
    before: dict[str, Any], after: dict[str, Any], *, name: str = "test"
) -> tuple[str, ...]:
    return guard.problems(kept(before), wanted(after, name), parse(after))


@pytest.mark.parametrize(
    ("key", "old", "new", "shown"),
    [
        ("memory", "256MiB", "512MiB", "farm.memory 256MiB -> 512MiB"),
        ("vcpus", 1, 2, "farm.vcpus 1 -> 2"),
        ("disk", "20GiB", "30GiB", "farm.disk 20GiB -> 30GiB"),
        ("domain_type", "qemu", "kvm", "farm.domain_type qemu -> kvm"),
        ("packages", [], ["htop"], "farm.packages none -> htop"),
        ("install_docker", True, False, "farm.install_docker true -> false"),
        ("registry_mirror", None, "http://m:5", "farm.registry_mirror none -> http://m:5"),
        ("hypervisors", [{"pool": "/a"}], [{"pool": "/b"}], "farm.hypervisors.0.pool /a -> /b"),
        ("image", "https://x/12", "https://x/13", "farm.image https://x/12 -> https://x/13"),
        ("network", {}, {"cidr": "10.9.0.0/24"}, "farm.network.cidr 10.90.0.0/24 -> 10.9.0.0/24"),
    ],
)
def test_what_replaces_a_vm_is_said_and_how_to_keep_the_data(
    key: str, old: object, new: object, shown: str
) -> None:
    before = config(DATA, **{f"farm__{key}": old})
    path, value = shown.split(" ", 1)
    assert problems(before, config(DATA, **{f"farm__{key}": new})) == (
        "services.hello.volumes.0: the volume data on web-0 and web-1 (/data in the container)"
        f" would be deleted: {shown} replaces web-0 and web-1. Keep {path}:"
        f" {value.split(' -> ')[0]}; or back the data up, and set {SAID} beside the volume"
        " (got data)",
    )
    assert problems(before, before) == ()
    assert problems(before, config(expendable(DATA), **{f"farm__{key}": new})) == ()


def test_several_reasons_are_said_together() -> None:
    (problem,) = problems(config(DATA), config(DATA, farm__memory="512MiB", farm__vcpus=4))
    assert "farm.memory 256MiB -> 512MiB and farm.vcpus 2 -> 4 replace web-0 and web-1" in problem


def test_packages_in_another_order_replace_nothing() -> None:
    one, other = (config(DATA, farm__packages=each) for each in (["htop", "jq"], ["jq", "htop"]))
    assert problems(one, other) == ()


def test_a_static_address_is_part_of_its_vm_alone() -> None:
    def bridged(*addresses: str) -> dict[str, Any]:
        network = {"bridge": "br0", "gateway": "192.0.2.1", "addresses": list(addresses)}
        return config(DATA, farm__network=network)

    before = bridged("192.0.2.10/24", "192.0.2.11/24")
    (problem,) = problems(before, bridged("192.0.2.10/24", "192.0.2.12/24"))
    shown = "farm.network.addresses.1 192.0.2.11/24 -> 192.0.2.12/24 replaces web-1"
    assert f"data on web-1 (/data in the container) would be deleted: {shown}. Keep" in problem
    (problem,) = problems(config(DATA), before)
    assert "farm.network.bridge none -> br0 replaces web-0 and web-1" in problem


def test_another_network_or_card_replaces_a_vm_and_is_refused_where_data_is() -> None:
    def bridged(bridge: str) -> dict[str, Any]:
        addresses = ["192.0.2.10/24", "192.0.2.11/24"]
        network = {"bridge": bridge, "gateway": "192.0.2.1", "addresses": addresses}
        return config(DATA, farm__network=network)

    (problem,) = problems(bridged("br0"), bridged("br1"))
    assert "farm.network.bridge br0 -> br1 replaces web-0 and web-1" in problem
    macs = [{"macs": ["52:54:00:00:00:10", f"52:54:00:00:00:{last}"]} for last in (11, 12)]
    (problem,) = problems(*(config(DATA, farm__network=each) for each in macs))
    shown = "farm.network.macs.1 52:54:00:00:00:11 -> 52:54:00:00:00:12 replaces web-1"
    assert f"{shown}. Keep" in problem


def test_another_stack_name_is_another_pool() -> None:
    (problem,) = problems(config(DATA), config(DATA), name="other")
    assert "the stack's name test -> other replaces web-0 and web-1" in problem


@pytest.mark.parametrize(
    ("changes", "vms", "why"),
    [
        ({"farm__vms": 1}, "web-1", "farm.vms 2 -> 1 takes away web-1"),
        ({"farm__name": "app"}, "web-0 and web-1", "farm.name web -> app replaces web-0 and web-1"),
        (
            {"services__hello__replicas": 1},
            "web-1",
            "services.hello.replicas 3 -> 1 leaves web-1 without a container of the service",
        ),
        (
            {"services__hello__placement": {"vms": ["web-1"]}},
            "web-0",
            "services.hello.placement.vms all -> web-1 leaves web-0 without a container of the"
            " service",
        ),
    ],
)
def test_what_takes_a_vm_from_a_service_is_said(
    changes: dict[str, Any], vms: str, why: str
) -> None:
    before, after = config(DATA, FOLDER), config(DATA, FOLDER, **changes)
    folder = "deleted" if "farm" in why else "left unused on the VM, and deleted with it"
    volume, host = problems(before, after)
    assert volume.startswith(
        f"services.hello.volumes.0: the volume data on {vms} (/data in the container) would be"
        f" deleted: {why}. Keep"
    )
    assert host.startswith(
        f"services.hello.volumes.1: the folder /srv/hello on {vms} (/files in the container) would"
        f" be {folder}: {why}. Keep"
    )
    # The engine goes by what was said in the last update: its state's protection.
    said = config(expendable(DATA), expendable(FOLDER))
    gone = config(expendable(DATA), expendable(FOLDER), **changes)
    for problem in problems(before, gone):
        assert f"{SAID} counts from the next update on: run `pulumi up` with the old" in problem
    assert len(problems(before, gone)) == 2
    assert problems(before, said) == ()
    assert problems(said, gone) == ()
    assert len(problems(said, after)) == 2, "the word was taken back"


@pytest.mark.parametrize("volume", [DATA, FOLDER, {**FOLDER, "read_only": True}])
def test_a_volume_does_not_go_with_its_config(volume: dict[str, Any]) -> None:
    other = {"image": "o:1", "hosts": ["o.example.org"], "port": 80}
    before = config(volume, services__other=other)
    (problem,) = problems(before, config(services__other=other))
    assert problem.startswith("services.hello.volumes.0: the ")
    assert "it is not in the config any more. Put the volume back. To give" in problem
    without = config(services__other=other)
    del without["services"]["hello"]
    (problem,) = problems(before, without)
    assert "services.hello is not in the config any more. Put services.hello back" in problem
    assert problems(config(expendable(volume), services__other=other), without) == ()


def test_a_volume_is_the_same_wherever_it_is_mounted_and_listed() -> None:
    before = config(DATA, FOLDER)
    assert problems(before, config(FOLDER, {**DATA, "path": "/else", "read_only": True})) == ()
    assert len(problems(before, config({**DATA, "name": "other"}, FOLDER))) == 1


def test_a_volume_mounted_twice_takes_the_word_twice() -> None:
    again = {**DATA, "path": "/again"}
    before = config(DATA, again)
    for volumes in ((expendable(DATA), again), (DATA, expendable(again))):
        assert len(problems(before, config(*volumes, farm__memory="512MiB"))) == 1
    both = (expendable(DATA), expendable(again))
    assert problems(before, config(*both, farm__memory="512MiB")) == ()


def test_what_was_never_made_holds_no_data() -> None:
    before = state(config(DATA))
    for urn in list(before):
        if urn.endswith("-disk"):
            del before[urn]
    after = config(farm__memory="512MiB")
    there = state_of.kept(before, parse(after).farm)
    assert guard.problems(there, wanted(after), parse(after)) == ()


def with_older_text(raw: dict[str, Any]) -> Inventory:
    before = state(raw)
    for resource in before.values():
        if "made" in resource["outputs"]:
            resource["outputs"]["made"]["text"] = "older"
    return state_of.kept(before, parse(raw).farm)


def test_vms_with_data_stay_when_the_first_boot_text_alone_is_a_newer_one() -> None:
    raw = config(DATA, farm__vms=3, services__hello__replicas=2)
    before = with_older_text(raw)
    assert guard.problems(before, wanted(raw), parse(raw)) == ()
    stays = guard.stays(before, wanted(raw))
    assert {vm: made.generation for vm, made in stays.items()} == {
        "web-0": "of web-0",
        "web-1": "of web-1",
    }
    assert {made.text for made in stays.values()} == {"older"}, "or the next run would not know"
    given_up = config(expendable(DATA), farm__vms=3, services__hello__replicas=2)
    assert guard.stays(before, wanted(given_up)) == {}
    larger = config(DATA, farm__memory="512MiB")
    assert guard.stays(before, wanted(larger)) == {}
    (problem,) = guard.problems(with_older_text(config(DATA)), wanted(larger), parse(larger))
    assert "farm.memory 256MiB -> 512MiB replaces web-0 and web-1" in problem


_FARMS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["web", "web", "web", "app"]),
        "vms": st.integers(2, 3),
        "image": st.sampled_from(["https://x/12", "https://x/12", "https://x/13"]),
        "memory": st.sampled_from(["256MiB", "256MiB", "256MiB", "512MiB"]),
        "packages": st.sampled_from([[], [], [], ["htop"]]),
    }
)
_VOLUMES = st.lists(
    st.tuples(
        st.sampled_from([("name", "data"), ("name", "logs"), ("host", "/srv/x")]),
        st.sampled_from(["/a", "/b"]),
        st.booleans(),
    ),
    max_size=3,
    unique_by=lambda each: each[1],
)
_SERVICES = st.dictionaries(
    st.sampled_from(["a", "b"]),
    st.tuples(st.integers(1, 3), st.sampled_from([None, [0], [1]]), _VOLUMES),
    min_size=1,
)


def _config(farm: dict[str, Any], services: dict[str, Any]) -> dict[str, Any]:
    raw: dict[str, Any] = {"farm": farm, "services": {}}
    for name, (replicas, only, volumes) in services.items():
        raw["services"][name] = {
            "image": "x:1",
            "port": 80,
            "hosts": [f"{name}.example.org"],
            "replicas": replicas,
            "volumes": [
                {kind: what, "path": path, "shared": True, "expendable": word}
                for (kind, what), path, word in volumes
            ],
        }
        if only is not None:
            vms = [f"{farm['name']}-{number}" for number in only]
            raw["services"][name]["placement"] = {"vms": vms}
    return raw


CONFIGS = st.builds(_config, _FARMS, _SERVICES)


def words(raw: dict[str, Any]) -> dict[tuple[str, str], bool]:
    """Return whether all that says so gives up a volume, by its service and what it is."""
    found: dict[tuple[str, str], bool] = {}
    for name, service in raw["services"].items():
        for each in service["volumes"]:
            key = (name, each.get("name") or each["host"])
            found[key] = found.get(key, True) and each["expendable"]
    return found


def places(raw: dict[str, Any]) -> set[tuple[str, str, str]]:
    stack = parse(raw)
    return {
        (service, vm, what)
        for service, vms in placed(stack).items()
        for vm in vms
        for owner, what in words(raw)
        if owner == service
    }


def expected(before: dict[str, Any], after: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Return the services' volumes on VMs that have to be named, from the two configs alone."""
    first, second = words(before), words(after)
    farms = ("image", "memory", "packages")
    other = any(before["farm"][key] != after["farm"][key] for key in farms)
    found = set()
    for place in places(before):
        service, _, what = place
        gone = place not in places(after)
        now = second.get((service, what))
        last = first[service, what]
        given_up = (last and now in (True, None)) if gone else now
        if (gone or other) and not given_up:
            found.add(place)
    return found


@given(CONFIGS, CONFIGS)
def test_for_any_two_configs_each_loss_is_named_and_nothing_else(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    told = problems(before, after)
    named = {
        place
        for place in places(before)
        for problem in told
        if problem.startswith(f"services.{place[0]}.volumes.")
        and f" {place[2]} on " in problem.split(" (")[0]
        and place[1] in problem.split(" (")[0].replace(",", " ").split()
    }
    assert named == expected(before, after), told


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
