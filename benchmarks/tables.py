"""Markdown tables, and numbers in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.stats import Spread


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in markdown: the first column to the left, the others to the right."""
    lines = [list(head), ["---", *("--:" for _ in head[1:])], *(list(row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float) -> str:
    """Return a number with three significant digits, and all digits before the point."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return (
        f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"
    )


def median_range(spread: Spread) -> str:
    """Return a median with its range: ``1.62 (1.58–1.70)``."""
    return f"{number(spread.median)} ({number(spread.least)}–{number(spread.most)})"
