"""Few and robust: medians with what lies around them, and ratios of medians."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A figure that was measured several times."""

    median: float
    least: float
    most: float

    def scaled(self, factor: float) -> Spread:
        """Return it in another unit, by a positive factor."""
        return Spread(
            median=self.median * factor, least=self.least * factor, most=self.most * factor
        )


def spread(values: Sequence[float]) -> Spread:
    """Return the median of values, and the smallest and the largest one.

    Raises:
        ValueError: There is none.
    """
    if not values:
        raise ValueError("a figure needs at least one value")
    return Spread(median=statistics.median(values), least=min(values), most=max(values))


def ratio(values: Sequence[float], floor: Sequence[float]) -> float:
    """Return the ratio of the values' median to the floor's median."""
    return spread(values).median / spread(floor).median


def paired(values: Sequence[float], floor: Sequence[float]) -> Spread:
    """Return the ratios of values that were measured in turns, each to its neighbour.

    What else the machine did meanwhile slowed both of a pair.

    Raises:
        ValueError: Their numbers differ.
    """
    return spread([value / below for value, below in zip(values, floor, strict=True)])
