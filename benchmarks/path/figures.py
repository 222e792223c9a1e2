"""The raw figures of the data path: what each load on each front gave, value by value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.path.load_tools import Measurement


@dataclass(kw_only=True)
class Cell:
    """One load on one front, as often as it was repeated."""

    front: str
    backends: int
    connections: str
    size: str
    requests_per_second: list[float] = field(default_factory=list)
    p50_seconds: list[float] = field(default_factory=list)
    p99_seconds: list[float] = field(default_factory=list)
    errors: list[int] = field(default_factory=list)
    cpu_seconds_per_request: dict[str, list[float]] = field(default_factory=dict)
    """By tier of the front."""
    generator_cpu_seconds_per_request: list[float] = field(default_factory=list)

    def add(self, run: Measurement) -> None:
        """Add what one run gave."""
        answered = run.answered
        requests = max(1, answered.requests)
        self.requests_per_second.append(round(answered.requests / answered.seconds, 1))
        self.p50_seconds.append(answered.p50_seconds)
        self.p99_seconds.append(answered.p99_seconds)
        self.errors.append(answered.errors)
        for tier, seconds in run.cpu_seconds.items():
            values = self.cpu_seconds_per_request.setdefault(tier, [])
            values.append(_precise(seconds / requests))
        self.generator_cpu_seconds_per_request.append(
            _precise(run.generator_cpu_seconds / requests)
        )

    @property
    def raw(self) -> dict[str, Any]:
        """What JSON gets of it."""
        return asdict(self)


def in_turns(measured: Sequence[tuple[Cell, Callable[[], Measurement]]], repetitions: int) -> None:
    """Run all once, then all once more, and so on: what the machine does else hits all alike."""
    for _ in range(repetitions):
        for cell, run in measured:
            cell.add(run())


def _precise(seconds: float) -> float:
    return round(seconds, 9)
