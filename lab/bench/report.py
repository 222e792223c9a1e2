"""The report of a run: its lines, its sum, and the decision about a rate. Plain values only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

HEAD = "scenario, requests, failed, p50, p99, slowest"
LARGEST_P99 = 1000.0
"""Milliseconds: at a rate with slower answers, the machine is overloaded."""


@dataclass(frozen=True, kw_only=True)
class ScenarioResult:
    """The result of one scenario."""

    scenario: str
    fault: bool
    """Whether it is a fault, rather than a change by the operator."""
    load: Mapping[str, Any]
    """The load generator's result."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    """Why the scenario itself went wrong; None if it did not."""

    @property
    def requests(self) -> int:
        """The number of requests."""
        return int(self.load["requests"])

    @property
    def failed(self) -> int:
        """The number of failed requests."""
        return int(self.load["failed"])


def line(measured: ScenarioResult) -> str:
    """Return the scenario's line; times in ms, measured from when each request was due."""
    name = f"fault {measured.scenario}" if measured.fault else measured.scenario
    times = (measured.load[f"{key}_ms"] for key in ("p50", "p99", "slowest"))
    shown = ("-" if time is None else f"{time:.0f}" for time in times)
    return ", ".join((name, str(measured.requests), str(measured.failed), *shown))


def remarks(measured: ScenarioResult) -> list[str]:
    """Return the remarks on a scenario, as comment lines."""
    remarks = [f"{count} x {reason}" for reason, count in measured.load["reasons"].items()]
    remarks += [f"{key}: {value}" for key, value in measured.notes.items()]
    if measured.error is not None:
        remarks += ["THE SCENARIO WENT WRONG: " + measured.error.strip().replace("\n", "\n#     ")]
    return [f"#   {each}" for each in remarks]


def summary(runs: Sequence[ScenarioResult]) -> list[str]:
    """Return the last lines; the very last one covers only changes, not faults."""
    changes = [run for run in runs if not run.fault]
    faults = [run for run in runs if run.fault]
    lines = []
    if faults:
        lines.append(
            f"faults, which the last line leaves out: {sum(run.requests for run in faults)}"
            f" requests, {sum(run.failed for run in faults)} failed"
        )
    lines.append(
        f"zero-downtime: {sum(run.requests for run in changes)} requests,"
        f" {sum(run.failed for run in changes)} failed"
    )
    return lines


def exit_code(runs: Sequence[ScenarioResult]) -> int:
    """Return 0 if no change failed a request and every scenario went as it should, else 1."""
    return int(any(run.error is not None or (run.failed and not run.fault) for run in runs))


def carried(load: Mapping[str, Any], largest_p99: float = LARGEST_P99) -> bool:
    """Return whether a rate was carried without loss and without a queue that grows."""
    if not load["requests"]:
        return False
    return bool(load["failed"] == 0 and load["p99_ms"] <= largest_p99)


def highest_rate(carries: Callable[[float], bool], start: float, most: float) -> float | None:
    """Return the highest rate found that is carried; none if not even ``start`` is.

    It doubles the rate while that is carried, and then adds quarters of the last one.

    Args:
        carries: Tries a rate, in requests/s.
        start: The first rate.
        most: The highest rate to try.
    """
    best, rate = None, start
    while rate <= most and carries(rate):
        best, rate = rate, rate * 2
    if best is None:
        return None
    for quarter in (1.25, 1.5, 1.75):
        if best * quarter > most or rate > most or not carries(rate / 2 * quarter):
            return best
        best = rate / 2 * quarter
    return best


def failing_for(load: Mapping[str, Any], since: datetime) -> float:
    """Return the seconds from ``since`` until the last failed request was due; 0 if none failed."""
    offset = (since - datetime.fromisoformat(load["began"])).total_seconds()
    return max((each["due_s"] - offset for each in load["failures"]), default=0.0)
