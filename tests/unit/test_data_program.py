"""Data is not deleted without a word: the whole program, on what an earlier run of it left."""

import copy
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from components.data.check import DataError
from components.vm import hardening
from tests.unit import program
from tests.unit.test_data import CONFIGS, DATA, FOLDER, config, expendable, words


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
    (problem,) = refused(config(DATA, farm__memory="128MiB"), before, preview=preview)
    assert problem.startswith("services.hello.volumes.0: the volume data on web-0 and web-1 (")
    assert set(registered) <= {"pulumi:pulumi:Stack"}
    larger = config(expendable(DATA), farm__memory="128MiB")
    program.run(larger, before=before, preview=preview)


def test_the_engine_protects_what_holds_data() -> None:
    def protected(*volumes: dict[str, Any]) -> set[str]:
        run = program.run(config(*volumes, farm__vms=3, services__hello__replicas=2))
        return {name for name, each in run.resources.items() if each.options.protect}

    vms = {f"web-{number}-{part}" for number in (0, 1) for part in ("disk", "domain")}
    # The disks are layers of the image, and cannot be read without it.
    needed = {"farm-image", *vms}
    assert protected(DATA) == {*needed, "hello-web-0-data", "hello-web-1-data"}
    assert protected(FOLDER) == needed
    assert protected(expendable(DATA)) == set()


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
    half = program.run(config(expendable(DATA), farm__memory="128MiB"), before=before)
    half.state |= {urn: each for urn, each in before.state.items() if "::web-1" in urn}
    (problem,) = refused(config(DATA), half)
    assert " on web-0 (" in problem
    assert "farm.memory 128MiB -> 64MiB replaces web-0." in problem
    (problem,) = refused(config(DATA, farm__memory="128MiB"), half)
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
