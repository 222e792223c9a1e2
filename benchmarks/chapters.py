"""The contents of a part of the document: text, bars and plots, as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from benchmarks.stats import Spread


@dataclass(frozen=True, kw_only=True)
class Bar:
    """The target of a figure, and its value."""

    what: str
    wanted: str
    """With its unit, as in ``at most 2 ms``."""
    measured: str
    """With its unit too."""
    met: bool


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points that belong together, in the order in which they are joined."""

    label: str
    x: tuple[float, ...] | tuple[str, ...]
    """Numbers for lines, names for bars; those are the same in all series of a plot."""
    y: tuple[float, ...]
    """Medians, in the unit of the plot's axis."""
    low: tuple[float, ...] | None = None
    """The smallest value at each point; None if there is one value only."""
    high: tuple[float, ...] | None = None
    """The largest one; given whenever ``low`` is."""
    dashed: bool = False
    """Whether it is not measured, but a bar or a computed expectation."""


def series_of(
    label: str, x: tuple[float, ...] | tuple[str, ...], spreads: Iterable[Spread]
) -> Series:
    """Return a series of what was measured at each point, with what lies around the medians."""
    found = tuple(spreads)
    return Series(
        label=label,
        x=x,
        y=tuple(each.median for each in found),
        low=tuple(each.least for each in found),
        high=tuple(each.most for each in found),
    )


@dataclass(frozen=True, kw_only=True)
class Plot:
    """What a plot shows; benchmarks.plots draws it."""

    file: str
    """Its name, ending in ``.svg``, unique in the document."""
    kind: Literal["line", "bar"]
    title: str
    alt: str
    """A description, for readers who cannot see it."""
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    x_log: bool = False
    y_log: bool = False


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """A part's chapter of the document."""

    title: str
    text: str
    """Markdown without the title: what was measured and how, tables, and where a bar is missed by
    how much and why."""
    meaning: tuple[str, ...] = ()
    """What an operator learns from it, as sentences with the figures that matter to them."""
    bars: tuple[Bar, ...] = ()
    plots: tuple[Plot, ...] = ()


class Part(Protocol):
    """A module that measures something and writes its chapter."""

    NAME: str

    def measure(self, *, quick: bool) -> dict[str, Any]:
        """Measure and return raw data that JSON can hold.

        Every single value is kept, in lists, with the unit in the key: ``…_seconds``, ``…_bytes``.

        Args:
            quick: Only as much as shows that it works, in about a minute.
        """
        ...

    def chapter(self, raw: Mapping[str, Any]) -> Chapter:
        """Return the chapter of raw data. Pure: it measures and reads nothing."""
        ...
