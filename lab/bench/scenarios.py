"""The scenarios: the stack before, and the change under load."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

from lab.bench import faults
from lab.bench.measured_lab import MeasuredLab, Notes, Trouble
from lab.images.containers import SICK_REASON

RELOADS = 100

_BASE: Mapping[str, Any] = {
    "farm.vms": 2,
    "farm.memory": "1GiB",
    "services.hello.replicas": 3,
    "services.hello.image": "hello:1",
    "services.hello.env": {},
    # The default is for hardware virtualization.
    "services.hello.start_timeout": "5m",
}


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One scenario."""

    name: str
    act: Callable[[MeasuredLab], Notes]
    """Carries out the change, and returns notes for the report; raises `Trouble` if it fails."""
    start: Mapping[str, Any] = field(default_factory=dict)
    """Changes to the base config before the load begins."""
    fault: bool = False
    short: bool = False
    """Whether it belongs to the short form."""
    boots: bool = False
    """Whether VMs boot meanwhile: half of the rate then, because an emulated VM that boots takes as
    much of the machine's processors as one that serves."""
    quiet: bool = False
    """Whether it only waits, without any change."""

    @property
    def config(self) -> dict[str, Any]:
        """The config before the load begins."""
        return {**_BASE, **self.start}


def _set(path: str, value: Any) -> Callable[[MeasuredLab], Notes]:
    def act(site: MeasuredLab) -> Notes:
        site.change({path: value})
        return {}

    return act


def _nothing(_: MeasuredLab) -> Notes:
    return {}


def _images(*tags: str) -> Callable[[MeasuredLab], Notes]:
    def act(site: MeasuredLab) -> Notes:
        for tag in tags:
            site.change({"services.hello.image": f"hello:{tag}"})
            _check_version(site, tag)
        return {}

    return act


def _check_version(site: MeasuredLab, tag: str) -> None:
    ask = "import sys; from lab.web import get; print(get(*sys.argv[1:])[1])"
    outputs = site.outputs()
    edge, url = outputs["edge"]["address"], f"{outputs['services']['hello']['url']}version"
    answer = site.inside(sys.executable, "-c", ask, edge, url, site.certificates).strip()
    if answer != tag:
        raise Trouble(f"after the update version {answer!r} answers instead of {tag!r}")


def _never_healthy(site: MeasuredLab) -> Notes:
    sick = {"services.hello.image": "hello:sick", "services.hello.start_timeout": "45s"}
    site.configure(sick)
    result = site.run("up")
    site.change({path: _BASE[path] for path in sick})
    if result.code == 0:
        raise Trouble("up succeeded with an image whose health check always fails")
    if SICK_REASON not in result.text:
        raise Trouble(f"up does not show the container's last log line, {SICK_REASON!r}")
    return {}


def _reloads(site: MeasuredLab) -> Notes:
    for number in range(1, RELOADS + 1):
        if not site.edge.reload():
            raise Trouble(f"reload {number} of {RELOADS} failed")
    return {}


def _killed(
    path: str, values: Sequence[Any], moments: Sequence[float]
) -> Callable[[MeasuredLab], Notes]:
    """Return a change that is killed at each of the moments, and then run again."""

    def act(site: MeasuredLab) -> Notes:
        under_way = []
        for value, moment in zip(cycle(values), moments, strict=False):
            site.configure({path: value})
            under_way.append(site.up_killed(moment))
            site.up()
            extra = site.left_over()
            if extra:
                raise Trouble(f"killed after {moment:g} s and run again, it left {extra}")
        return {"killed under way": f"{sum(under_way)} of {len(moments)}"}

    return act


SMALLEST = Scenario(
    name="nothing changes with one container",
    act=_nothing,
    start={"farm.vms": 1, "services.hello.replicas": 1},
    quiet=True,
)
"""The smallest site of all scenarios: none of them carries a rate that it does not carry."""

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(name="nothing changes", act=_nothing, short=True, quiet=True),
    Scenario(
        name="replicas 1 to 5",
        act=_set("services.hello.replicas", 5),
        start={"services.hello.replicas": 1},
        short=True,
    ),
    Scenario(
        name="replicas 5 to 1",
        act=_set("services.hello.replicas", 1),
        start={"services.hello.replicas": 5},
        short=True,
    ),
    Scenario(name="new image", act=_images("2"), short=True),
    Scenario(name="new image, rude", act=_images("rude", "1")),
    Scenario(name="new env", act=_set("services.hello.env", {"GREETING": "new"})),
    Scenario(name="an image that never gets healthy", act=_never_healthy),
    Scenario(name="100 edge reloads", act=_reloads, short=True),
    Scenario(name="new VM memory", act=_set("farm.memory", "1152MiB"), boots=True),
    Scenario(name="VMs 1 to 3", act=_set("farm.vms", 3), start={"farm.vms": 1}, boots=True),
    Scenario(name="VMs 3 to 1", act=_set("farm.vms", 1), start={"farm.vms": 3}),
    Scenario(
        name="new image killed and run again",
        act=_killed(
            "services.hello.image", ("hello:2", "hello:rude"), (1, 2, 4, 8, 15, 25, 40, 60)
        ),
    ),
    Scenario(
        name="another VM killed and run again",
        act=_killed("farm.vms", (3, 2), (3, 3, 6, 6, 15, 9)),
        boots=True,
    ),
    Scenario(name="container killed", act=faults.container_killed, fault=True, short=True),
    Scenario(name="Traefik restarted", act=faults.traefik_restarted, fault=True),
    Scenario(name="Docker restarted", act=faults.docker_restarted, fault=True),
    Scenario(name="VM killed", act=faults.vm_killed, fault=True, boots=True),
    Scenario(name="edge worker killed", act=faults.edge_worker_killed, fault=True),
)


def way_to(scenario: Scenario, site: MeasuredLab) -> Scenario | None:
    """Return the change that leads from the site's config to a scenario's; none if there is none.

    A request that fails on the way to a scenario counts as lost by a change.
    """
    now = {key: site.value(key) for key in _BASE}
    wanted = scenario.config
    if now == wanted and site.applied:
        return None

    def act(site: MeasuredLab) -> Notes:
        site.settle(wanted)
        return {}

    changed = [f"{key} {now[key]} to {value}" for key, value in wanted.items() if now[key] != value]
    return Scenario(
        name=f"on the way: {' and '.join(changed)}",
        act=act,
        boots=wanted["farm.vms"] > now["farm.vms"] or wanted["farm.memory"] != now["farm.memory"],
    )


def chosen(names: str, *, short: bool) -> list[Scenario]:
    """Return the scenarios with these names, in the list's order, or all of the form.

    Args:
        names: Separated by ``;``, because some have commas in them; none means all.
        short: Only those of the short form, unless names are given.

    Raises:
        Trouble: No scenario has one of the names.
    """
    wanted = [name.strip() for name in names.split(";") if name.strip()]
    known = [scenario.name for scenario in SCENARIOS]
    for name in wanted:
        if name not in known:
            raise Trouble(f"SCENARIOS: {name!r} is none of: {'; '.join(known)}")
    if wanted:
        return [scenario for scenario in SCENARIOS if scenario.name in wanted]
    return [scenario for scenario in SCENARIOS if scenario.short or not short]
