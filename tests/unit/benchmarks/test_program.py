"""The chapter about the program, from raw data; and that what is measured is what is meant."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks import mocked, program, sites
from tests.support import program as mocks


def raw(*sizes: dict[str, Any]) -> dict[str, Any]:
    return {"services": 10, "replicas_per_vm": 3, "sizes": list(sizes)}


def size(vms: int, resources: int, seconds: list[float], size_bytes: list[int]) -> dict[str, Any]:
    return {
        "vms": vms,
        "resources": resources,
        "program_seconds": seconds,
        "program_bytes": size_bytes,
        "floor_seconds": [resources / 1000],  # 1 ms each
        "floor_bytes": [resources * 10_000],
    }


def test_figures_are_per_resource_and_on_top_of_the_floor() -> None:
    written = program.chapter(raw(size(10, 100, [0.25, 0.2, 0.3], [2_000_000])))
    assert "| 10 | 100 | 2.50 (2.00–3.00) | 1.00 (1.00–1.00) | 1.50 | 20.0" in written.text
    time, memory = written.bars
    assert (time.wanted, time.measured, time.met) == ("under 2 ms", "1.50 ms", True)
    assert (memory.wanted, memory.measured, memory.met) == ("under 20 KB", "10.0 KB", True)


def test_the_worst_size_from_10_vms_up_decides_whether_a_bar_is_met() -> None:
    small, large = size(10, 100, [0.4], [4_000_000]), size(100, 1000, [2.0], [20_000_000])
    smallest = size(1, 10, [9.0], [9_000_000])
    _, time, memory = program.chapter(raw(smallest, small, large)).bars
    assert (time.measured, time.met) == ("3.00 ms", False)
    assert (memory.measured, memory.met) == ("30.0 KB", False)


@pytest.mark.parametrize(("seconds", "power", "met"), [(2.0, "1.00", True), (11.0, "2.00", False)])
def test_growth_is_told_as_a_power_of_the_number_of_resources(
    seconds: float, power: str, met: bool
) -> None:
    small, large = size(10, 100, [0.2], [1]), size(100, 1000, [seconds], [1])
    growth = program.chapter(raw(small, large)).bars[0]
    assert growth.measured == f"resources^{power}"
    assert growth.met is met


def test_the_floor_has_the_tree_of_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shape = tmp_path / "shape.json"
    monkeypatch.setenv("SHAPE", str(shape))
    config = sites.config(vms=2, services=2, replicas=1)
    monitors = []
    for each in (sites.PROGRAM, sites.FLOOR):
        monitor = mocked.Echo()
        sites.run_mocked(each, config, monitor.mocks, monitor)
        shape.write_text(json.dumps(monitor.shape))
        monitors.append(monitor)
    assert places(monitors[0].shape) == places(monitors[1].shape)
    assert len(monitors[0].shape) == len(mocks.run(config).resources)


def places(shape: list[tuple[int, bool]]) -> Counter[tuple[int, bool]]:
    """How many resources of each kind there are below how many others; their order is chance."""
    depths: list[int] = []
    for parent, _ in shape:
        depths.append(depths[parent] + 1 if parent >= 0 else 0)
    return Counter(zip(depths, (custom for _, custom in shape), strict=True))
