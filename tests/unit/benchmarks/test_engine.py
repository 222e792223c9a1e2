"""The chapter about the engine, and the made-up state that its previews start from."""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import engine, pretended, sites
from lab.providers import VERSIONS, package
from lab.providers.handler import Call


def raw(preview: list[float], floor: list[float]) -> dict[str, Any]:
    size = {"resources": 30, "preview_seconds": preview, "floor_seconds": floor}
    return {"engine": "Pulumi 3.260.0", "sizes": [size], "imports_seconds": [0.25]}


@pytest.mark.parametrize(
    ("preview", "measured", "met"),
    [([3.0, 2.4, 6.0], "3.00", True), ([3.2, 4.0, 6.4], "3.20", False)],
)
def test_the_ratio_is_that_of_neighbours(preview: list[float], measured: str, met: bool) -> None:
    (bar,) = engine.chapter(raw(preview, [1.0, 1.0, 2.0])).bars
    assert (bar.wanted, bar.measured, bar.met) == ("at most 3", measured, met)


def test_what_is_on_top_and_the_imports_in_it_are_told() -> None:
    text = engine.chapter(raw([1.0], [0.5])).text
    assert "Of the 0.5 s that 30 resources take on top" in text
    assert "0.25 (0.25–0.25) s are imports" in text


def test_figures_of_the_engine_before_are_marked_and_meet_no_goal() -> None:
    found = engine.chapter({**raw([1.0], [0.5]), "engine": "lab"})
    assert "former engine" in found.text
    assert (found.bars, found.meaning) == ((), ())
    now = engine.chapter(raw([1.0], [0.5]))
    assert "former engine" not in now.text
    assert now.meaning == (
        "**A preview** that finds nothing to change takes 1.00 s with 30 resources.",
    )


def test_handlers_that_make_nothing_take_what_the_real_ones_take() -> None:
    for name in VERSIONS:
        real, made = package(name), pretended.pretending(package(name))
        assert {kind: each.schema for kind, each in made.types.items()} == {
            kind: each.schema for kind, each in real.types.items()
        }
        for handler in made.handlers:
            call = Call(name="x-keygen", inputs={}, say=print)
            assert handler.create(made.connect({}), call).id == "x-keygen-id"


def test_a_project_is_laid_out_with_the_programs_own_environment(tmp_path: Path) -> None:
    pretended.project(tmp_path, sites.PROGRAM, sites.config(vms=1, services=1, replicas=2))
    described = yaml.safe_load((tmp_path / "Pulumi.yaml").read_text())
    assert described["name"] == "gatehouse"
    assert described["runtime"]["options"]["virtualenv"] == sys.prefix
    assert (tmp_path / "components" / "placement.py").is_file()
    assert (tmp_path / "controller" / "boot.py").is_file()
