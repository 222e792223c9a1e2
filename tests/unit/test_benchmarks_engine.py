"""The chapter about the engine, and the made-up state that its previews start from."""

import io
from pathlib import Path
from typing import Any

import pytest

from benchmarks import engine, pretended, sites
from lab.engine.display import Display
from lab.engine.providers import CATALOGUE
from lab.engine.run import Options, Runner, Stack


def raw(preview: list[float], floor: list[float]) -> dict[str, Any]:
    size = {"resources": 30, "preview_seconds": preview, "floor_seconds": floor}
    return {"engine": "lab", "sizes": [size], "imports_seconds": [0.25]}


@pytest.mark.parametrize(
    ("preview", "measured", "met"),
    [([1.5, 1.2, 3.0], "1.50", True), ([1.6, 2.0, 3.2], "1.60", False)],
)
def test_the_ratio_is_that_of_neighbours(preview: list[float], measured: str, met: bool) -> None:
    (bar,) = engine.chapter(raw(preview, [1.0, 1.0, 2.0])).bars
    assert (bar.wanted, bar.measured, bar.met) == ("at most 1.5", measured, met)


def test_what_is_on_top_and_the_imports_in_it_are_told() -> None:
    text = engine.chapter(raw([1.0], [0.5])).text
    assert "Of the 0.5 s that 30 resources take on top" in text
    assert "0.25 (0.25–0.25) s are imports" in text


def test_a_preview_of_the_made_up_state_finds_nothing_to_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pretended.project(tmp_path, sites.PROGRAM, sites.config(vms=1, services=1, replicas=2))
    made = pretended.up(tmp_path)
    stack = Stack(
        name=pretended.STACK,
        folder=tmp_path,
        config_file=tmp_path / f"Pulumi.{pretended.STACK}.yaml",
        state_folder=tmp_path / "state",
    )
    printed = io.StringIO()
    assert Runner(stack, CATALOGUE, Display(printed)).preview(Options()) == 0
    assert f"no changes: {made} unchanged" in printed.getvalue()
