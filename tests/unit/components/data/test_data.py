"""Data is not deleted without a word: what is there, what is wanted, and what is said about it."""

from typing import Any

import pytest

from components.config.loading import parse
from components.data import guard
from components.data import state as state_of
from components.data.inventory import Inventory
from tests.support.data import DATA, FOLDER, SAID, config, expendable, problems, state, wanted


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
