"""The program itself: time and memory of one run under mocks, on top of the SDK's own."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.chapters import Bar, Chapter, Plot, Series, series_of
from benchmarks.sites import PROJECT
from benchmarks.stats import Spread, spread
from benchmarks.tables import median_range, number, table

NAME = "program"

SERVICES, REPLICAS = 10, 3
"""So many services, and containers of each on every VM."""
_RUNS = {1: 7, 10: 5, 100: 3, 1000: 1}
"""How often it is run, by the number of VMs; the last one takes minutes."""
_QUICK_RUNS = {1: 3, 10: 1}
_MOST_SECONDS = 3600

_MS, _KB = 1000.0, 1 / 1000
_MOST_MS, _MOST_KB = 2.0, 20.0
"""The bars, per resource on top of the floor."""
_MOST_EXPONENT = 1.1
_LEAST_VMS = 10
_TYPICAL_VMS = (10, 100)
"""Below, what a run takes once is much of it, such as compiling the templates of haproxy.cfg."""


def measure(*, quick: bool) -> dict[str, Any]:
    """Run the program and the floor by turns, each time in a process of its own."""
    sizes = []
    for vms, runs in (_QUICK_RUNS if quick else _RUNS).items():
        kinds: dict[str, list[dict[str, Any]]] = {"program": [], "floor": []}
        for each in range(runs):
            print(f"bench: program: {vms} VMs, run {each + 1} of {runs}", flush=True)
            with tempfile.TemporaryDirectory() as folder:
                for kind, done in kinds.items():
                    done.append(_run(Path(folder), vms, floor=kind == "floor"))
        sizes.append(
            {
                "vms": vms,
                "resources": kinds["program"][0]["resources"],
                **{
                    f"{kind}_{key}": [run[key] for run in done]
                    for kind, done in kinds.items()
                    for key in ("seconds", "cpu_seconds", "bytes")
                },
            }
        )
    return {"services": SERVICES, "replicas_per_vm": REPLICAS, "sizes": sizes}


def _run(folder: Path, vms: int, *, floor: bool) -> dict[str, Any]:
    what = {
        "vms": vms,
        "services": SERVICES,
        "replicas": REPLICAS,
        "floor": floor,
        "shape": str(folder / "shape.json"),
    }
    done = subprocess.run(
        (sys.executable, "-m", "benchmarks.mocked", json.dumps(what)),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=_MOST_SECONDS,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@dataclass(frozen=True, kw_only=True)
class Size:
    """The figures of one size, per resource: times in ms, memory in KB (1000 bytes)."""

    vms: int
    resources: int
    time: Spread
    floor_time: Spread
    memory: Spread
    floor_memory: Spread

    @property
    def more_time(self) -> float:
        """What it takes on top of the floor, by medians."""
        return self.time.median - self.floor_time.median

    @property
    def more_memory(self) -> float:
        """What it takes on top of the floor, by medians."""
        return self.memory.median - self.floor_memory.median


def _size(raw: Mapping[str, Any]) -> Size:
    def each(key: str, unit: float) -> Spread:
        return spread(raw[key]).scaled(unit / raw["resources"])

    return Size(
        vms=raw["vms"],
        resources=raw["resources"],
        time=each("program_seconds", _MS),
        floor_time=each("floor_seconds", _MS),
        memory=each("program_bytes", _KB),
        floor_memory=each("floor_bytes", _KB),
    )


def exponent(smaller: Size, larger: Size) -> float:
    """Return the power of the number of resources with which time on top grows; 1 is linear."""
    times = larger.more_time * larger.resources / (smaller.more_time * smaller.resources)
    return math.log(times) / math.log(larger.resources / smaller.resources)


def chapter(raw: Mapping[str, Any]) -> Chapter:
    """Return what one run takes per resource, and whether that stays so as a stack grows."""
    sizes = [_size(each) for each in raw["sizes"]]
    largest = sizes[-1]
    grown = [each for each in sizes if each.vms >= _LEAST_VMS]
    bars = [
        _bar("time of a run", grown, max(each.more_time for each in grown), _MOST_MS, "ms"),
        _bar("memory of a run", grown, max(each.more_memory for each in grown), _MOST_KB, "KB"),
    ]
    if len(grown) > 1:
        power = exponent(grown[0], largest)
        bars.insert(
            0,
            Bar(
                what=f"program: growth from {grown[0].vms} to {largest.vms:,} VMs",
                wanted=f"linear: at most resources^{_MOST_EXPONENT}",
                measured=f"resources^{power:.2f}",
                met=power <= _MOST_EXPONENT,
            ),
        )
    return Chapter(
        title="The program itself",
        text=f"{_how(raw)}\n\n{_table(sizes)}\n\n{_WHY}",
        meaning=(_meaning(raw["sizes"]),),
        bars=tuple(bars),
        plots=(_plot(sizes),),
    )


def _meaning(sizes: Sequence[Mapping[str, Any]]) -> str:
    """Return what a run takes at sizes that operators have."""
    took = [
        f"{number(spread(each['program_seconds']).median)} s and"
        f" {number(spread(each['program_bytes']).median / 1e6)} MB of memory for"
        f" {each['resources']:,} resources ({each['vms']:,} VMs)"
        for each in sizes
        if each["vms"] in _TYPICAL_VMS
    ] or [f"{number(spread(sizes[0]['program_seconds']).median)} s"]
    return f"**The program.** Computing what should exist takes {', and '.join(took)}."


def _bar(what: str, sizes: Sequence[Size], measured: float, most: float, unit: str) -> Bar:
    return Bar(
        what=f"program: {what} per resource on top of the floor, the worst of"
        f" {', '.join(f'{each.vms:,}' for each in sizes)} VMs",
        wanted=f"under {most:g} {unit}",
        measured=f"{number(measured)} {unit}",
        met=measured < most,
    )


def _how(raw: Mapping[str, Any]) -> str:
    return (
        f"This is one run of `__main__.py` under Pulumi's mocks, with {raw['services']} services of"
        f" {raw['replicas_per_vm']} containers on each VM. It corresponds to an `up` in which every"
        " provider answers at once. The time begins when the config is read and ends with the"
        " answer to the last registration; the start of Python and all imports are before it."
        " The memory is the growth of the process's largest resident memory.\n\n"
        "The floor is a program of as many empty resources with the same parents, under the same"
        " mocks. Each run has a process of its own, and program and floor take turns. With one VM,"
        " most of the time is spent once per run, such as on compiling templates, so the goals"
        " are for 10 VMs and more. A KB is 1000 bytes."
    )


_WHY = (
    "Most of what is on top of the floor is spent in Pulumi's SDK, too. It makes an output, with a"
    " task and four futures, of each property of a resource: six on average, and none for an empty"
    " resource. All of them exist at once, because the program registers everything before the"
    " first answer arrives. Properties that are neither given nor read, 28 more on average, are"
    " left out (`components/outputs.py`)."
)


def _table(sizes: Sequence[Size]) -> str:
    return table(
        (
            *("VMs", "resources", "ms per resource", "floor", "on top"),
            *("KB per resource", "floor", "on top", "ratio of times", "of memory"),
        ),
        [
            (
                *(f"{each.vms:,}", f"{each.resources:,}"),
                *(median_range(each.time), median_range(each.floor_time), number(each.more_time)),
                *(
                    median_range(each.memory),
                    median_range(each.floor_memory),
                    number(each.more_memory),
                ),
                f"{each.time.median / each.floor_time.median:.1f}",
                f"{each.memory.median / each.floor_memory.median:.1f}",
            )
            for each in sizes
        ],
    )


def _plot(sizes: Sequence[Size]) -> Plot:
    x = tuple(float(each.resources) for each in sizes)

    def seconds(label: str, times: Sequence[Spread]) -> Series:
        whole = [time.scaled(n / _MS) for time, n in zip(times, x, strict=True)]
        return series_of(label, x, whole)

    floor = seconds("as many empty resources", [each.floor_time for each in sizes])
    allowed = tuple(y + n * _MOST_MS / _MS for y, n in zip(floor.y, x, strict=True))
    return Plot(
        file="program.svg",
        kind="line",
        title="One run of the program under mocks",
        alt=f"Time of a run from {sizes[0].resources} to {sizes[-1].resources:,} resources, beside"
        " that of as many empty ones and the bar.",
        x_label="resources",
        y_label="seconds",
        series=(
            seconds("the program", [each.time for each in sizes]),
            floor,
            Series(label="the bar", x=x, y=allowed, dashed=True),
        ),
        x_log=True,
        y_log=True,
    )
