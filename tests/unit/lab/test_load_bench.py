"""The pure parts of the bench: its lines, its verdict, the search for a rate, its list."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lab import hardware
from lab.bench import report
from lab.bench.faults import is_up
from lab.bench.measured_lab import MeasuredLab, Trouble, post_counts
from lab.bench.report import ScenarioResult
from lab.bench.scenarios import SCENARIOS, chosen, way_to


def load(requests: int = 100, failed: int = 0, **changed: Any) -> dict[str, Any]:
    values = {
        "began": "2030-01-01T00:00:00.000+00:00",
        "requests": requests,
        "failed": failed,
        "p50_ms": 12.4,
        "p99_ms": 80.6,
        "slowest_ms": 512.0,
        "reasons": {"post: connection reset": failed} if failed else {},
        "failures": [],
    }
    return values | changed


def measured(*, fault: bool = False, error: str | None = None, **changed: Any) -> ScenarioResult:
    return ScenarioResult(scenario="new image", fault=fault, load=load(**changed), error=error)


def test_a_line_is_the_scenario_its_counts_and_milliseconds() -> None:
    assert report.HEAD == "scenario, requests, failed, p50, p99, slowest"
    assert report.line(measured()) == "new image, 100, 0, 12, 81, 512"
    assert report.line(measured(fault=True, failed=3)) == "fault new image, 100, 3, 12, 81, 512"
    nothing = measured(requests=0, p50_ms=None, p99_ms=None, slowest_ms=None)
    assert report.line(nothing) == "new image, 0, 0, -, -, -"


def test_reasons_notes_and_what_went_wrong_are_told() -> None:
    run = ScenarioResult(
        scenario="x", fault=True, load=load(failed=2), notes={"seen": "1 s"}, error="up:\nno"
    )
    assert report.remarks(run) == [
        "#   2 x post: connection reset",
        "#   seen: 1 s",
        "#   THE SCENARIO WENT WRONG: up:\n#     no",
    ]


def test_the_last_line_counts_changes_alone() -> None:
    runs = [measured(), measured(failed=2), measured(fault=True, requests=50, failed=7)]
    assert report.summary(runs) == [
        "faults, which the last line leaves out: 50 requests, 7 failed",
        "zero-downtime: 200 requests, 2 failed",
    ]
    assert report.summary([measured()]) == ["zero-downtime: 100 requests, 0 failed"]


@pytest.mark.parametrize(
    ("run", "code"),
    [
        (measured(), 0),
        (measured(failed=1), 1),
        (measured(fault=True, failed=9), 0),
        (measured(error="up failed"), 1),
        (measured(fault=True, error="it did not come back"), 1),
    ],
)
def test_the_verdict(run: ScenarioResult, code: int) -> None:
    assert report.exit_code([measured(), run]) == code


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"failed": 1}, False),
        ({"p99_ms": 1000.1}, False),
        ({"requests": 0, "p99_ms": None}, False),
    ],
)
def test_a_rate_is_carried_without_loss_and_in_time(
    changed: dict[str, Any], expected: bool
) -> None:
    assert report.carried(load(**changed)) is expected


def limited(most: float, tried: list[float]) -> Callable[[float], bool]:
    def carries(rate: float) -> bool:
        tried.append(rate)
        return rate <= most

    return carries


@pytest.mark.parametrize(
    ("limit", "found", "tried"),
    [
        (5, None, [10]),
        (10, 10, [10, 20, 12.5]),
        (45, 40, [10, 20, 40, 80, 50]),
        (60, 60, [10, 20, 40, 80, 50, 60, 70]),
        (79, 70, [10, 20, 40, 80, 50, 60, 70]),
        (1000, 160, [10, 20, 40, 80, 160]),
    ],
)
def test_the_highest_rate_doubles_and_then_goes_by_quarters(
    limit: float, found: float | None, tried: list[float]
) -> None:
    done: list[float] = []
    assert report.highest_rate(limited(limit, done), 10, 160) == found
    assert done == tried


def test_how_long_clients_saw_failures_counts_from_the_fault() -> None:
    began = datetime(2030, 1, 1, tzinfo=UTC)
    failures = [{"due_s": 4.0}, {"due_s": 5.5}]
    since = began + timedelta(seconds=3)
    assert report.failing_for(load(failures=failures), since) == 2.5
    assert report.failing_for(load(), since) == 0


def test_the_list_has_every_scenario_once_and_the_short_form_is_a_part_of_it() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(names)) == len(names)
    assert names[0] == "nothing changes"
    assert chosen("", short=False) == list(SCENARIOS)
    assert 1 < len(chosen("", short=True)) < len(SCENARIOS)
    assert any(scenario.fault for scenario in chosen("", short=True))


def test_scenarios_are_chosen_by_name() -> None:
    some = chosen("new env; new image, rude", short=True)
    assert [scenario.name for scenario in some] == ["new image, rude", "new env"]
    with pytest.raises(Trouble, match="'new moon' is none of: nothing changes; "):
        chosen("new moon", short=False)


def test_every_scenario_begins_with_a_whole_config() -> None:
    assert {frozenset(scenario.config) for scenario in SCENARIOS} == {
        frozenset(SCENARIOS[0].config)
    }


def test_a_server_whose_check_just_failed_is_still_up() -> None:
    assert is_up("UP")
    assert is_up("UP 1/2")
    assert not is_up("DOWN 1/2")
    assert not is_up("MAINT")


def test_a_post_that_two_containers_answered_is_in_their_logs_twice() -> None:
    lines = [
        f'{{"request":{{"method":"POST","uri":"/echo?id={identity}","headers":{{}}}}}}'
        for identity in ("r-1", "r-2", "r-1")
    ]
    assert post_counts("\n".join(lines)) == {"r-1": 2, "r-2": 1}


def test_a_value_of_proc() -> None:
    assert hardware.field("MemTotal:   24 kB\nmodel name\t: A CPU\n", "model name") == "A CPU"
    assert hardware.field("", "MemTotal") == "unknown"


def test_the_way_to_a_scenario_is_a_change_of_its_own(tmp_path: Path) -> None:
    site = MeasuredLab(name="test", providers="lab", folder=tmp_path, log=tmp_path / "log")
    first, memory = SCENARIOS[0], next(each for each in SCENARIOS if each.name == "VMs 1 to 3")
    site.configure(first.config)
    way = way_to(memory, site)
    assert way is not None
    assert way.name == "on the way: farm.vms 2 to 1"
    assert not way.boots
    site.configure(memory.config)
    back = way_to(first, site)
    assert back is not None
    assert back.name == "on the way: farm.vms 1 to 2"
    assert back.boots, "at half of the rate"
