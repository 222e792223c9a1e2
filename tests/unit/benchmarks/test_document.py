"""docs/benchmarks.md, from raw data that is small enough to be seen through."""

import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as bench
from benchmarks import plots
from benchmarks.chapters import Bar, Chapter, Plot, Series
from benchmarks.document import PartResults, document
from benchmarks.stats import paired, ratio, spread
from benchmarks.tables import median_range, number, table

MACHINE = {"cores": "2", "CPU": "A CPU"}
PLOT = Plot(
    file="growth.svg",
    kind="line",
    title="Growth",
    alt="Time grows with resources.",
    x_label="resources",
    y_label="ms",
    series=(
        Series(label="measured", x=(1, 10), y=(2.0, 20.0), low=(1.0, 19.0), high=(3.0, 21.0)),
        Series(label="the bar", x=(1, 10), y=(4.0, 40.0), dashed=True),
    ),
    x_log=True,
)
BARS = Plot(
    file="bars.svg",
    kind="bar",
    title="Bars",
    alt="Two bars.",
    x_label="path",
    y_label="requests/s",
    series=(Series(label="one", x=("edge", "Traefik"), y=(1.0, 2.0)),),
)


def measured(part: str = "program", **changes: Any) -> PartResults:
    given: dict[str, Any] = {"date": "2026-11-28", "quick": False, "machine": MACHINE, "raw": {}}
    return PartResults(part=part, **{**given, **changes})


def chapter(*bars: Bar, title: str = "The program") -> Chapter:
    return Chapter(title=title, text="It is fast.", bars=bars, plots=(PLOT,))


def bar(*, met: bool) -> Bar:
    return Bar(what="time per resource", wanted="under 2 ms", measured="2.40 ms", met=met)


def test_bars_are_in_one_table_and_one_that_is_missed_is_told_as_missed() -> None:
    text = document(
        [
            (measured(), chapter(bar(met=False))),
            (measured("engine"), chapter(bar(met=True), title="The engine")),
        ]
    )
    head = text.split("## The program")[0]
    assert "| time per resource | under 2 ms | 2.40 ms | **missed** |" in head
    assert "| time per resource | under 2 ms | 2.40 ms | met |" in head


def test_what_it_means_comes_before_all_tables() -> None:
    written = Chapter(title="The program", text="| a |", meaning=("It takes **2 s**.",))
    text = document([(measured(), written)])
    assert text.startswith("# Benchmarks\n\n## What it means for you\n\n- It takes **2 s**.\n")
    assert "What it means" not in document([(measured(), chapter())])


def test_each_chapter_of_the_raw_data_means_something() -> None:
    text = (bench.DOCS / "benchmarks.md").read_text()
    meaning = text.split("## How it was measured")[0]
    for found in ("The program", "pulumi up", "Two tiers", "More VMs", "Many services"):
        assert f"- **{found}" in meaning or f" `{found}`" in meaning, found


def test_the_document_is_what_the_raw_data_say(tmp_path: Path) -> None:
    shutil.copytree(bench.DOCS / "benchmarks", tmp_path / "benchmarks")
    bench.write(tmp_path)
    written = (tmp_path / "benchmarks.md").read_text()
    assert written == (bench.DOCS / "benchmarks.md").read_text(), "run `make bench-document`"


def test_a_chapter_has_its_text_its_plot_and_a_link_to_its_raw_data() -> None:
    text = document([(measured(), chapter())])
    assert "## The program\n\nIt is fast.\n" in text
    assert "![Time grows with resources.](benchmarks/growth.svg)" in text
    assert "Measured on 2026-11-28: [program.json](benchmarks/program.json)." in text


def test_a_machine_is_told_once_and_two_machines_side_by_side() -> None:
    one = document([(measured(), chapter()), (measured("engine"), chapter())])
    assert one.count("| CPU |") == 1
    assert "| CPU | A CPU |" in one
    two = document(
        [(measured(), chapter()), (measured("engine", machine={"cores": "8"}), chapter())]
    )
    assert "|  | program | engine |" in two
    assert "| cores | 2 | 8 |" in two


def test_a_quick_run_cannot_be_taken_for_a_real_one() -> None:
    assert "quick run" not in document([(measured(), chapter())])
    assert "**A quick run" in document([(measured(quick=True), chapter())])


def test_figures_are_medians_with_the_smallest_and_the_largest() -> None:
    assert median_range(spread([3.0, 1.0, 2.0])) == "2.00 (1.00–3.00)"
    assert median_range(spread([0.0015, 0.001, 0.002]).scaled(1000)) == "1.50 (1.00–2.00)"
    with pytest.raises(ValueError, match="at least one"):
        spread([])


def test_ratios_are_of_medians_or_pair_by_pair() -> None:
    assert ratio([2.0, 4.0, 100.0], [1.0, 2.0, 3.0]) == 2.0
    assert paired([2.0, 9.0], [1.0, 3.0]) == spread([2.0, 3.0])
    with pytest.raises(ValueError, match="shorter"):
        paired([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.01234, "0.0123"), (1.234, "1.23"), (12.34, "12.3"), (12345.6, "12,346")],
)
def test_numbers_have_the_digits_that_say_something(value: float, shown: str) -> None:
    assert number(value) == shown


def test_the_first_column_is_to_the_left_and_numbers_to_the_right() -> None:
    assert table(("VMs", "ms"), [("1", "2.0")]) == "| VMs | ms |\n| --- | --: |\n| 1 | 2.0 |"


@pytest.mark.parametrize("plot", [PLOT, BARS])
def test_the_same_plot_is_the_same_svg(plot: Plot, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        plots.draw(plot, tmp_path / name)
    first, second = ((tmp_path / name / plot.file).read_text() for name in ("one", "two"))
    assert first == second
    assert "<dc:date>" not in first
    words = "".join(ET.fromstring(first).itertext())  # noqa: S314 - our own
    assert plot.x_label in words
    assert plot.y_label in words


def test_bars_of_other_names_are_refused(tmp_path: Path) -> None:
    other = Series(label="two", x=("edge", "VM"), y=(1.0, 2.0))
    plot = Plot(**{**vars(BARS), "series": (*BARS.series, other)})
    with pytest.raises(ValueError, match="two has bars for"):
        plots.draw(plot, tmp_path)


class Fast:
    """A part that takes no time."""

    NAME = "fast"

    def __init__(self) -> None:
        self.figures = [1.0]

    def measure(self, *, quick: bool) -> dict[str, Any]:
        return {"quick": quick, "whole_seconds": self.figures}

    def chapter(self, raw: Any) -> Chapter:
        return Chapter(title="Fast", text=f"{raw['whole_seconds']}", plots=(PLOT,))


def test_one_command_measures_keeps_raw_data_and_writes_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = Fast()
    monkeypatch.setattr(bench, "PARTS", {"fast": part})
    assert bench.main(["--only", "fast", "--out", str(tmp_path)]) == 0
    assert "[1.0]" in (tmp_path / "benchmarks.md").read_text()
    assert (tmp_path / "benchmarks" / "growth.svg").exists()

    part.figures = [2.0]
    assert bench.main(["--document-only", "--out", str(tmp_path)]) == 0
    assert "[1.0]" in (tmp_path / "benchmarks.md").read_text(), "it was measured again"


def test_a_quick_run_goes_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(bench, "PARTS", {"fast": Fast()})
    assert bench.main(["--quick", "--only", "fast"]) == 0
    written = Path(capsys.readouterr().out.split()[-1])
    assert written.name == "benchmarks.md"
    assert tmp_path in written.parents
    assert "quick run" in written.read_text()


def test_a_part_that_is_none_is_told_with_those_that_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        bench.main(["--only", "programme"])
    assert "programme is none of program, engine" in capsys.readouterr().err
