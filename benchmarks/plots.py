"""Plots as SVG: the only module that knows matplotlib.

The same plot is the same text: no date, no random ids. On a white ground of its own, so that it can
be read on a dark page too.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.chapters import Plot, Series

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
"""Okabe and Ito's, which color-blind people can tell apart."""
_MARKS = "osD^v<"
_INCHES = (7.2, 4.0)
_NAME_WIDTH = 12  # characters of a bar's name in one line
_SETTINGS: Any = {  # matplotlib names every key in its type
    "svg.hashsalt": "gatehouse",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "legend.frameon": False,
}


def draw(plot: Plot, folder: Path) -> None:
    """Write a plot into a folder, under its own name.

    Raises:
        ValueError: A bar has another name than in the plot's first series.
    """
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=_INCHES, layout="constrained", facecolor="white")
        axes = figure.add_subplot()
        axes.set_title(plot.title, loc="left")
        axes.set_xlabel(plot.x_label)
        axes.set_ylabel(plot.y_label)
        if plot.x_log:
            axes.set_xscale("log")
        if plot.y_log:
            axes.set_yscale("log")
        for index, series in enumerate(plot.series):
            if plot.kind == "line":
                _line(axes, series, index)
            else:
                _bars(axes, plot, index)
        if not plot.y_log:
            axes.set_ylim(bottom=0)
        if len(plot.series) > 1:
            axes.legend()
        figure.savefig(folder / plot.file, format="svg", metadata={"Date": None})


def _line(axes: Axes, series: Series, index: int) -> None:
    axes.errorbar(
        [float(x) for x in series.x],
        series.y,
        yerr=_errors(series),
        label=series.label,
        color=_COLOURS[index % len(_COLOURS)],
        marker=None if series.dashed else _MARKS[index % len(_MARKS)],
        linestyle="--" if series.dashed else "-",
        capsize=3,
    )


def _bars(axes: Axes, plot: Plot, index: int) -> None:
    series, first = plot.series[index], plot.series[0]
    if series.x != first.x:
        raise ValueError(f"{plot.file}: {series.label} has bars for {series.x}, not {first.x}")
    width = 0.8 / len(plot.series)
    places = [place - 0.4 + width * (index + 0.5) for place in range(len(series.x))]
    axes.bar(
        places,
        series.y,
        width,
        yerr=_errors(series),
        label=series.label,
        color=_COLOURS[index % len(_COLOURS)],
        capsize=3,
    )
    # Two long names side by side would run into each other.
    names = [textwrap.fill(str(name), _NAME_WIDTH) for name in series.x]
    axes.set_xticks(range(len(series.x)), names)


def _errors(series: Series) -> list[list[float]] | None:
    """How far the smallest and the largest value are from the median."""
    if series.low is None or series.high is None:
        return None
    return [
        [y - low for y, low in zip(series.y, series.low, strict=True)],
        [high - y for y, high in zip(series.y, series.high, strict=True)],
    ]
