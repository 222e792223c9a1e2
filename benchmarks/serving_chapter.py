"""The chapter of the time from nothing to serving, from its raw data. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import timeline
from benchmarks.chapters import Bar, Chapter, Plot, series_of
from benchmarks.stats import Spread, spread
from benchmarks.tables import median_range, number, table

_BESIDE = 15.0
"""s that an `up` may take beyond a VM alone."""
_CONTAINER: Mapping[str, float] = {"kvm": 5.0, "qemu": 15.0}
"""s that one more container on a VM that runs may take, by how VMs run."""

_VMS: Mapping[str, str] = {"kvm": "with KVM", "qemu": "emulated (TCG)"}


def chapter(raw: Mapping[str, Any]) -> Chapter:
    """Return what raw data says; of a quick run, which applies nothing, only the floor."""
    alone = spread(raw["alone_seconds"])
    floor = (
        f"The floor is a VM alone, {_VMS[raw['vms']]}, with one processor and 1 GiB, from the lab's"
        " image, and with an empty cloud-init document. It takes"
        f" {median_range(alone)} s from its start until Docker has started."
    )
    if not raw["ups"]:
        return Chapter(title="From nothing to serving", text=floor)
    answers = [up["answer_seconds"] for up in raw["ups"]]
    stages = _stages(raw["ups"])
    rows = [(name, median_range(spread(values))) for name, values in stages.items()]
    text = "\n\n".join(
        (
            floor,
            "An `up` with one VM and one container is measured in a running lab, from the start of"
            " the engine until a client gets the first 200 through the edge over HTTPS. `image`"
            " ends when the VM is defined, and includes the program, the network and the base"
            " image. `boot` and `Docker` end when Docker answers over SSH. `containers` includes"
            " Traefik and the agent, and the pull of the service's image from the lab's registry;"
            " the lab's disk image already has Traefik's.",
            table(
                ("seconds", "median (least–most)"),
                [*rows, ("**all**", median_range(spread(answers)))],
            ),
            "Additions to a stack that runs:",
            table(
                ("seconds until it answers", "median (least–most)"),
                [
                    ("one more container", median_range(spread(raw["container_seconds"]))),
                    ("one more VM", median_range(spread(raw["vm_seconds"]))),
                ],
            ),
        )
    )
    return Chapter(
        title="From nothing to serving",
        text=text,
        meaning=(_meaning(raw, spread(answers), alone),),
        bars=(
            _beside("`up` from nothing to the first 200", spread(answers), alone),
            _within("one more container", spread(raw["container_seconds"]), _CONTAINER[raw["vms"]]),
            _beside("one more VM", spread(raw["vm_seconds"]), alone),
        ),
        plots=(_plot(stages, alone),),
    )


def _meaning(raw: Mapping[str, Any], answers: Spread, alone: Spread) -> str:
    return (
        f"**Waiting for `pulumi up`.** From nothing to the first answer takes"
        f" {number(answers.median)} s with VMs that are {_VMS[raw['vms']]}; a VM alone needs"
        f" {number(alone.median)} s of that to boot. One more container takes"
        f" {number(spread(raw['container_seconds']).median)} s, one more VM"
        f" {number(spread(raw['vm_seconds']).median)} s."
    )


def _stages(ups: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for up in ups:
        for stage in timeline.stages(
            up["moments_seconds"], "web-0", up["docker_seconds"], up["answer_seconds"]
        ):
            found.setdefault(stage.name, []).append(stage.seconds)
    return found


def _beside(what: str, took: Spread, alone: Spread) -> Bar:
    beside = took.median - alone.median
    return Bar(
        what=what,
        wanted=f"at most {_BESIDE:g} s more than a VM alone",
        measured=f"{number(beside)} s more",
        met=beside <= _BESIDE,
    )


def _within(what: str, took: Spread, wanted: float) -> Bar:
    return Bar(
        what=what,
        wanted=f"at most {wanted:g} s",
        measured=f"{number(took.median)} s",
        met=took.median <= wanted,
    )


def _plot(stages: Mapping[str, Sequence[float]], alone: Spread) -> Plot:
    spreads = {
        "a VM alone": alone,
        **{name: spread(values) for name, values in stages.items()},
    }
    return Plot(
        file="serving.svg",
        kind="bar",
        title="From nothing to the first 200",
        alt="Seconds of each stage of an up, beside those that a VM alone takes to Docker",
        x_label="stage",
        y_label="seconds",
        series=(series_of("median", tuple(spreads), spreads.values()),),
    )
