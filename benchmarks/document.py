"""docs/benchmarks.md as text, from the raw data of all parts. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.chapters import Bar, Chapter, Plot
from benchmarks.tables import table

FOLDER = "benchmarks"
"""Where raw data and plots are, beside the document."""


@dataclass(frozen=True, kw_only=True)
class PartResults:
    """One part as it was measured: what its raw file holds."""

    part: str
    date: str
    """The day, as in 2026-11-28."""
    quick: bool
    machine: Mapping[str, str]
    raw: Mapping[str, Any]


def document(parts: Sequence[tuple[PartResults, Chapter]]) -> str:
    """Return the document.

    Args:
        parts: In the order in which they are to be read.
    """
    bars = [(measured, bar) for measured, chapter in parts for bar in chapter.bars]
    meanings = [f"- {sentence}" for _, chapter in parts for sentence in chapter.meaning]
    blocks = [
        "# Benchmarks",
        *(["## What it means for you", "\n".join(meanings)] if meanings else []),
        "## How it was measured",
        "`make bench` measures, and writes this page from the raw data beside each chapter. `make"
        " bench-document` writes the page again without measuring. Figures are medians, with the"
        " smallest and the largest value in parentheses. Times hold for the machine below; on"
        " another one, compare the ratios.",
        *(
            ["**A quick run, which only shows that everything is measured.**"]
            if any(measured.quick for measured, _ in parts)
            else []
        ),
        _machines([measured for measured, _ in parts]),
        "## Goals",
        table(("", "goal", "measured", ""), [_bar(bar) for _, bar in bars]),
    ]
    for measured, chapter in parts:
        blocks += [
            f"## {chapter.title}",
            chapter.text.strip(),
            *(image(plot) for plot in chapter.plots),
            f"Measured on {measured.date}: [{measured.part}.json]({FOLDER}/{measured.part}.json).",
        ]
    return "\n\n".join(blocks) + "\n"


def image(plot: Plot) -> str:
    """Return what shows a plot in the document."""
    return f"![{plot.alt}]({FOLDER}/{plot.file})"


def _bar(bar: Bar) -> tuple[str, ...]:
    return (bar.what, bar.wanted, bar.measured, "met" if bar.met else "**missed**")


def _machines(parts: Sequence[PartResults]) -> str:
    """A column per machine; mostly it is one."""
    columns: list[tuple[Mapping[str, str], list[str]]] = []
    for part in parts:
        for machine, names in columns:
            if machine == part.machine:
                names.append(part.part)
                break
        else:
            columns.append((part.machine, [part.part]))
    keys = dict.fromkeys(key for machine, _ in columns for key in machine)
    heads = [", ".join(names) for _, names in columns] if len(columns) > 1 else ["the machine"]
    return table(
        ("", *heads), [(key, *(machine.get(key, "") for machine, _ in columns)) for key in keys]
    )
