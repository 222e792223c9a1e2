"""A section of a run: its number of requests, their times, and their failures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lab.load.plan import ClientKind

TOLD = 1000
"""The number of failures that are listed; counts and reasons cover all of them."""


class Failed(Exception):  # noqa: N818 - what it is
    """A request failed; the text is the reason, the same for all failures of a kind."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One request that is over."""

    kind: ClientKind
    due: float
    """s since the section began."""
    seconds: float
    """From when it was due to the end of its answer or its failure."""
    reason: str | None
    """Why it failed; None if it did not."""


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """Return the quantile ``share``, from 0 to 1; None if there are no values."""
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1] if ordered else None


@dataclass(kw_only=True)
class Section:
    """The requests due between two marks, whenever they finish."""

    name: str
    began: float
    """On the clock that times requests."""
    wall: datetime = field(default_factory=lambda: datetime.now(UTC))
    outcomes: list[Outcome] = field(default_factory=list)
    behind: float = 0.0
    """The largest delay in seconds by which the generator itself sent a request late."""

    def result(self, now: float, ended: str | None) -> dict[str, Any]:
        """Return the result as plain values; times in ms unless named otherwise.

        Args:
            now: When the section ended, on the same clock as ``began``.
            ended: Why the run ended; none if it goes on with another section.
        """
        times = sorted(outcome.seconds for outcome in self.outcomes)
        failures = [outcome for outcome in self.outcomes if outcome.reason is not None]
        return {
            "section": self.name,
            "began": self.wall.isoformat(timespec="milliseconds"),
            "seconds": round(now - self.began, 3),
            "requests": len(times),
            "failed": len(failures),
            "p50_ms": _milliseconds(percentile(times, 0.50)),
            "p99_ms": _milliseconds(percentile(times, 0.99)),
            "slowest_ms": _milliseconds(percentile(times, 1)),
            "behind_ms": _milliseconds(self.behind),
            "clients": {
                kind.value: {
                    "requests": sum(outcome.kind is kind for outcome in self.outcomes),
                    "failed": sum(outcome.kind is kind for outcome in failures),
                }
                for kind in ClientKind
            },
            "reasons": dict(
                sorted(Counter(f"{each.kind.value}: {each.reason}" for each in failures).items())
            ),
            "failures": [
                {
                    "due_s": round(each.due, 3),
                    "client": each.kind.value,
                    "reason": each.reason,
                    "after_ms": _milliseconds(each.seconds),
                }
                for each in sorted(failures, key=lambda outcome: outcome.due)[:TOLD]
            ],
            "ended": ended,
        }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
