"""Data is not deleted without a word: the whole program, on what an earlier run of it left."""

import copy
import logging
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from components.data.check import DataError
from components.vm import hardening
from tests.support import program
from tests.support.data import DATA, FOLDER, SAID, config, expendable
from tests.unit.components.data.test_data_any_configs import CONFIGS, words


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(raw: dict[str, Any], before: program.Run, *, preview: bool = False) -> tuple[str, ...]:
    """Return the problems for which a run ends, having registered nothing."""
    done: list[program.Run] = []
    with pytest.raises(DataError) as error:
        done.append(program.run(raw, before=before, preview=preview))
    assert done == []
    return error.value.problems


@pytest.mark.parametrize("preview", [False, True])
def test_a_run_that_would_delete_data_registers_nothing(
    preview: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = program.run(config(DATA))
    registered: list[str] = []
    register = program.Monitor.RegisterResource

    def noted(self: program.Monitor, request: Any) -> Any:
        registered.append(request.type)
        return register(self, request)

    monkeypatch.setattr(program.Monitor, "RegisterResource", noted)
    (problem,) = refused(config(DATA, farm__memory="512MiB"), before, preview=preview)
    assert problem.startswith("services.hello.volumes.0: the volume data on web-0 and web-1 (")
    assert set(registered) <= {"pulumi:pulumi:Stack"}
    larger = config(expendable(DATA), farm__memory="512MiB")
    program.run(larger, before=before, preview=preview)


def test_the_engine_protects_what_holds_data() -> None:
    def those(*volumes: dict[str, Any]) -> set[str]:
        return protected(program.run(config(*volumes, farm__vms=3, services__hello__replicas=2)))

    vms = of_vm(0, 1)
    # The disks are layers of the image, and cannot be read without it.
    needed = {"farm-image", "farm-ssh-keygen", *vms}
    assert those(DATA) == {*needed, "hello-web-0-data", "hello-web-1-data"}
    assert those(FOLDER) == needed
    assert those(expendable(DATA)) == set()


def test_a_volume_with_data_is_not_replaced_for_a_domain_that_is_made_again() -> None:
    kept, given_up = (program.run(config(each)) for each in (DATA, expendable(DATA)))
    volume = "hello-web-0-data"
    assert not kept.resources[volume].options.HasField("replacement_trigger")
    assert given_up.resources[volume].options.HasField("replacement_trigger")
    assert kept.resources[volume].options.deletedWith == kept.resources["web-0-domain"].urn


def test_a_newer_first_boot_text_replaces_no_vm_with_data(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    raw = config(DATA, farm__vms=3, services__hello__replicas=2)
    with monkeypatch.context() as older:
        older.setattr(hardening, "FILES", {**hardening.FILES, "/etc/older": "x"})
        before = program.run(raw)

    def trigger(run: program.Run, vm: str) -> object:
        return run.resources[f"{vm}-domain"].options.replacement_trigger

    caplog.set_level(logging.WARNING)
    after = program.run(raw, before=before)
    again = program.run(raw, before=after)
    for run in (after, again):
        for vm in ("web-0", "web-1"):
            assert trigger(run, vm) == trigger(before, vm)
            assert list(run.resources[f"{vm}-cloudinit"].options.ignoreChanges) == ["source"]
        assert trigger(run, "web-2") != trigger(before, "web-2"), "it holds no data"
        assert not run.resources["web-2-cloudinit"].options.ignoreChanges
        assert run.resources["farm-room"].inputs["environment"]["GATEHOUSE_STAYING"] == "2"
    assert caplog.text.count("web-0 keeps the first-boot text of an older version") == 2
    assert "web-2 keeps" not in caplog.text
    given_up = config(expendable(DATA), farm__vms=3, services__hello__replicas=2)
    assert trigger(program.run(given_up, before=after), "web-0") != trigger(before, "web-0")


def test_an_update_that_failed_half_way_is_judged_by_what_was_made() -> None:
    before = program.run(config(expendable(DATA)))
    half = program.run(config(expendable(DATA), farm__memory="512MiB"), before=before)
    half.state |= {urn: each for urn, each in before.state.items() if "::web-1" in urn}
    (problem,) = refused(config(DATA), half)
    assert " on web-0 (" in problem
    assert "farm.memory 512MiB -> 256MiB replaces web-0." in problem
    (problem,) = refused(config(DATA, farm__memory="512MiB"), half)
    assert " on web-1 (" in problem


def test_a_replacement_that_failed_is_not_gone_on_with_once_the_word_is_taken_back() -> None:
    before = program.run(config(expendable(DATA)))
    # The new disk is made, the new domain fails: the VM runs on, from a disk that is to go.
    half = copy.deepcopy(before)
    for urn in before.state:
        if urn.endswith("::web-0-disk"):
            half.state[urn]["outputs"]["name"] = "web-0-disk-def5678"
    (problem,) = refused(config(DATA), half)
    assert " on web-0 (" in problem
    assert "an update that failed has begun to replace web-0" in problem
    program.run(config(expendable(DATA)), before=half)
    for urn in before.state:
        if urn.endswith("::web-0-domain"):
            del half.state[urn]  # it had vanished, and is made again
    program.run(config(DATA), before=half)


def deleted(before: program.Run, after: program.Run) -> set[str]:
    """Return the volumes of Docker that the engine would delete, by what was registered."""
    found = set()
    for name, volume in before.of_type("docker:index/volume:Volume").items():
        domain = volume.options.deletedWith.rpartition("::")[2]
        was = before.resources[domain].options.replacement_trigger
        now = after.resources.get(domain)
        if name not in after.resources or now is None or now.options.replacement_trigger != was:
            found.add(name)
    return found


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(CONFIGS, CONFIGS)
def test_for_any_two_configs_what_the_engine_would_delete_is_named(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    for raw in (first, second):
        raw["farm"] |= {
            "domain_type": "qemu",
            "hypervisors": [{"uri": "qemu+ssh://localhost/system"}],
        }
    before, after = program.run(first), program.run(second)
    try:
        program.run(second, before=before)
    except DataError as error:
        told = error.problems
    else:
        told = ()
    for volume in deleted(before, after):
        service, vm, number, what = volume.split("-")
        given_up = words(first)[service, what] or words(second).get((service, what), False)
        named = [
            each
            for each in told
            if each.startswith(f"services.{service}.volumes")
            and f"the volume {what} on " in each
            and f"{vm}-{number}" in each.split(" (")[0]
        ]
        assert named or given_up, (volume, told)
    if not deleted(before, after):
        assert not [each for each in told if ": the volume " in each]


EDGE = "gatehouse:edge:Edge"
FRESH = {"farm__vms": 3, "services__hello__replicas": 3}
BIGGER = {**FRESH, "farm__memory": "512MiB"}


def without(run: program.Run, *names: str) -> program.Run:
    """Return a run whose state ends before the resources whose names begin like that."""
    half = copy.deepcopy(run)
    gone = [urn for urn in run.state if urn.rpartition("::")[2].startswith(names)]
    for urn in gone:
        del half.state[urn]
    return half


def never_up(vm: str, run: program.Run) -> program.Run:
    """Return a run in which one VM did not come up, after its domain was made."""
    half = without(run, f"{vm}-boot", f"{vm}-host-", f"hello-{vm}-")
    for urn in run.state:
        if half.state.get(urn, {}).get("type") == EDGE:
            half.state[urn]["outputs"] = {}
    return half


def protected(run: program.Run) -> set[str]:
    return {name for name, each in run.resources.items() if each.options.protect}


def of_vm(*numbers: int) -> set[str]:
    parts = ("disk", "cloudinit", "domain", "hostkey-keygen")
    return {f"web-{number}-{part}" for number in numbers for part in parts}


@pytest.mark.parametrize("volume", [DATA, FOLDER])
def test_a_vm_that_never_came_up_holds_nothing(
    volume: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    first = program.run(config(volume, **FRESH))
    for vm in range(3):
        first = never_up(f"web-{vm}", first)
    again = program.run(config(volume, **FRESH), before=first)
    assert protected(again) >= {"farm-image", *of_vm(0, 1, 2)}
    # Pulumi replaces nothing that was protected and is to be: the next update protects it.
    bigger = program.run(config(volume, **BIGGER), before=first)
    assert not protected(bigger) & of_vm(0, 1, 2)
    assert "web-0 is replaced, and Pulumi protects the new VM's data only from the next" in (
        caplog.text
    )
    assert protected(program.run(config(volume, **BIGGER), before=bigger)) >= of_vm(0, 1, 2)
    image = {**FRESH, "farm__image": "https://example.org/other"}
    assert "farm-image" not in protected(program.run(config(volume, **image), before=first))
    failed_sooner = without(first, "web-0-domain", "web-1-domain", "web-2-domain")
    for urn in failed_sooner.state:
        if failed_sooner.state[urn]["type"] == "gatehouse:vm:Vm":
            failed_sooner.state[urn]["outputs"] = {}
    program.run(config(volume, **BIGGER), before=failed_sooner)


def test_one_vm_that_never_came_up_leaves_the_others_guarded() -> None:
    first = never_up("web-2", program.run(config(DATA, **FRESH)))
    (problem,) = refused(config(DATA, **BIGGER), first)
    assert "the volume data on web-0 and web-1 (" in problem
    (problem,) = refused(config(DATA, farm__vms=2, services__hello__replicas=3), first)
    assert problem.startswith("farm.vms: Pulumi protects web-2 for volumes of an earlier config")
    (command,) = re.findall("run `(pulumi state unprotect .*?)`", problem)
    urns = shlex.split(command)[4:]
    assert {urn.rpartition("::")[2] for urn in urns} == of_vm(2)
    assert set(urns) <= first.state.keys()
    assert "keep farm.vms: 3 (got 2)" in problem


def half_replaced(volume: dict[str, Any]) -> program.Run:
    """Return a run that made a VM anew, which has not come up; the old one runs and has the data.

    The engine has marked that as what the next update deletes.
    """
    before = program.run(config(volume))
    half = program.run(config(expendable(volume), farm__memory="512MiB"), before=before)
    half.state |= {
        urn: each
        for urn, each in before.state.items()
        if urn.rpartition("::")[2].startswith(("web-0-boot", "hello-web-0-", "web-0-host"))
        or each["type"] == EDGE
    }
    for urn, each in half.state.items():
        if urn.endswith("::web-0-disk"):
            each["outputs"]["name"] = "web-0-disk-new"
        if each["type"] == "gatehouse:vm:Vm" and urn.endswith("::web-0"):
            each["outputs"]["made"]["disk"] = "web-0-disk-new"
            each["outputs"]["domain"] = "new"
    return half


@pytest.mark.parametrize("changes", [{}, {"farm__memory": "512MiB"}, {"farm__memory": "1GiB"}])
def test_the_data_of_a_vm_whose_successor_did_not_come_up_is_not_given_up(
    changes: dict[str, Any],
) -> None:
    half = half_replaced(DATA)
    told = [each for each in refused(config(DATA, **changes), half) if "has begun to" in each]
    assert len(told) == 1
    assert (
        "the volume data on web-0 (/data in the container) would be deleted: an update" in told[0]
    )
    assert "completes that and deletes web-0-disk-abc1234. Copy the data off" in told[0]
    assert "if libvirt did not list the disk in the failed update, nothing deletes it" in told[0]
    assert f"Then set {SAID} beside the volume, and run `pulumi up`. But if libvirt" in told[0]
    done = program.run(config(expendable(DATA), **changes), before=half)
    program.run(config(DATA, **changes), before=done)


def test_a_domain_that_had_vanished_and_is_slow_to_boot_again_is_no_replacement() -> None:
    before = program.run(config(DATA))
    half = copy.deepcopy(before)
    for urn, each in half.state.items():
        if each["type"] == "gatehouse:vm:Vm" and urn.endswith("::web-0"):
            each["outputs"]["domain"] = "made again, with the old disk"
        if each["type"] == EDGE:
            each["outputs"] = {}
    program.run(config(DATA), before=half)
    assert len(refused(config(DATA, farm__memory="512MiB"), half)) == 1


def test_the_seed_disk_is_protected_with_its_vm_and_goes_with_a_lost_disk() -> None:
    before = program.run(config(DATA, FOLDER))
    assert of_vm(0, 1) <= protected(before)
    lost = without(before, "web-0-disk", "web-0-domain")
    assert "web-0-cloudinit" not in protected(program.run(config(DATA, FOLDER), before=lost))
    gone = without(before, "web-0-disk", "web-0-domain", "web-0-cloudinit")
    assert "web-0-cloudinit" in protected(program.run(config(DATA, FOLDER), before=gone))


@pytest.mark.parametrize("lost", [("disk",), ("disk", "domain"), ("disk", "domain", "cloudinit")])
@pytest.mark.parametrize("updates", [1, 2])
def test_a_disk_with_data_that_left_the_state_is_named(
    lost: tuple[str, ...], updates: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    for volume, warned in ((DATA, True), (expendable(DATA), False)):
        before = None
        for _ in range(updates):
            before = program.run(config(volume), before=before)
        assert before is not None
        disk = before.state[before.resources["web-0-disk"].urn]["outputs"]["name"]
        caplog.clear()
        changed = config(volume, farm__memory="512MiB") if not warned else config(volume)
        gone = without(before, *(f"web-0-{each}" for each in lost))
        program.run(changed, before=gone, preview=True)
        said = f"web-0: its disk {disk}, which holds data, is not in Pulumi's state any more"
        assert (said in caplog.text) == warned


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"cidr": "10.91.0.0/24"}),
        ({"cidr": "10.92.0.0/24"}, {"cidr": "10.91.0.0/24"}),
        ({"macs": ["52:54:00:00:00:10"] * 1}, {"macs": ["52:54:00:00:00:11"]}),
    ],
)
def test_another_network_is_another_vm(one: dict[str, Any], other: dict[str, Any]) -> None:
    """The provider takes another network for a domain, and leaves the domain as it is."""
    triggers = []
    for network in (one, other):
        run = program.run(config(farm__vms=1, farm__network=network))
        domain = run.resources["web-0-domain"].options.replacement_trigger
        room = run.resources["farm-room"].inputs["environment"]["GATEHOUSE_GENERATION"]
        triggers.append((str(domain), room))
    assert triggers[0][0] != triggers[1][0]
    assert "cidr" not in other or triggers[0][1] != triggers[1][1]


def test_an_update_that_spares_a_vm_leaves_what_is_known_of_it() -> None:
    # As with --target or --exclude: the VM is as it was, and its outputs are written all the same.
    changed = config(FOLDER, farm__memory="512MiB", farm__packages=["htop"])
    before = program.run(config())
    after = program.run(changed, before=before, spared=lambda name: name.startswith("web-"))
    assert after.resources["web-0-domain"].id == before.resources["web-0-domain"].id
    (problem,) = refused(changed, after)
    assert "farm.memory 256MiB -> 512MiB and farm.packages none -> htop replace" in problem
    same = config(FOLDER)
    program.run(same, before=program.run(same, before=after))


@pytest.mark.parametrize("volume", [DATA, FOLDER])
def test_data_outlives_a_service_that_was_destroyed_alone(volume: dict[str, Any]) -> None:
    # As by `pulumi destroy --target …` or `--exclude-protected`: the VM and its disk are still
    # there, and for the folder nothing else is.
    before = program.run(config(volume))
    half = forgetting(before, "gatehouse:service:Service")
    gone = config()
    del gone["services"]["hello"]
    gone["services"]["other"] = {"image": "o", "hosts": ["o.example.org"], "port": 80}
    for raw in (gone, {**gone, "farm": {**gone["farm"], "memory": "512MiB"}}):
        (problem,) = refused(raw, half)
        assert problem.startswith("services.hello.volumes.0: ")
        assert "services.hello is not in the config any more" in problem
    again = program.run(config(volume), before=half)
    given_up = program.run(config(expendable(volume)), before=again)
    program.run(gone, before=given_up)


def test_a_folder_that_was_used_is_data_without_its_containers_too() -> None:
    before = program.run(config(FOLDER))
    used = program.run(config(FOLDER), before=before)
    for complete in (before, used):
        half = forgetting(complete, "Container::hello", "Command::hello")
        (problem, *_) = refused(config(FOLDER, farm__memory="512MiB"), half)
        assert problem.startswith("services.hello.volumes.0: the folder ")


def forgetting(run: program.Run, *parts: str) -> program.Run:
    """Return a run of whose state the resources are gone whose URNs have one of some parts."""
    half = copy.deepcopy(run)
    for urn in run.state:
        if any(part in urn for part in parts):
            del half.state[urn]
    return half
