import copy
from pathlib import Path
from typing import Any

import pytest

from benchmarks import datapath_chapter, growth, growth_chapter
from benchmarks.path import apache, cpu, load_tools
from benchmarks.path.application import LoopbackServer
from benchmarks.path.cpu import Process
from benchmarks.path.figures import Cell, in_turns
from benchmarks.path.front import BenchError, FrontCertificate
from benchmarks.path.load_tools import Answered, Measurement
from benchmarks.path.tiers import ALONE, BOTH, HAPROXY, TRAEFIK
from benchmarks.path.variations import AS_DEPLOYED, VARIATIONS, Variation, replaced
from components.host import traefik
from components.service.labels import traefik_labels
from lab.loopback.site import Site


def test_processor_time_is_read_whatever_a_command_is_called() -> None:
    stat = "12 (a) b (c)) S 7 1 1 0 -1 4194304 100 0 0 0 150 50 20 30 20 0 4 0 1000 0 0"
    assert cpu.read(stat) == Process(parent=7, seconds=2.5)


def test_the_processor_time_of_a_tree_has_everything_below_it_once() -> None:
    processes = {
        1: Process(parent=0, seconds=100),
        2: Process(parent=1, seconds=1),
        3: Process(parent=2, seconds=2),
        4: Process(parent=3, seconds=4),
        5: Process(parent=1, seconds=8),
    }
    assert cpu.tree_seconds([2], processes) == 7
    assert cpu.tree_seconds([2, 3, 99], processes) == 7, "and what has ended has none"


def test_what_wrk_says() -> None:
    result = '{"requests": 9000, "us": 3000000, "p50": 250, "p99": 4000, "errors": 2}'
    output = f"Running 2s test\nresult {result}\n"
    assert load_tools.of_wrk(output) == Answered(
        requests=9000, seconds=3, p50_seconds=0.00025, p99_seconds=0.004, errors=2
    )
    with pytest.raises(BenchError, match="unable to connect"):
        load_tools.of_wrk("unable to connect to 127.0.0.1:1")


AB = """\
Concurrency Level:      64
Time taken for tests:   2.000 seconds
Complete requests:      1500
Failed requests:        3
   (Connect: 0, Receive: 0, Length: 3, Exceptions: 0)
"""
PERCENTILES = "Percentage served,Time in ms\n0,1.5\n50,40.25\n99,80.5\n"


def test_what_ab_says() -> None:
    assert load_tools.of_ab(AB, PERCENTILES) == Answered(
        requests=1500, seconds=2, p50_seconds=0.04025, p99_seconds=0.0805, errors=3
    )
    assert load_tools.of_ab(f"{AB}Non-2xx responses:      5\n", PERCENTILES).errors == 8
    with pytest.raises(BenchError, match="ab does not tell all"):
        load_tools.of_ab("", PERCENTILES)


def test_runs_take_turns() -> None:
    order = []

    def run(name: str) -> Measurement:
        order.append(name)
        return RUN

    cells = [(Cell(front=name, backends=1, connections="kept", size="1 KB"), name) for name in "ab"]
    in_turns([(cell, lambda name=name: run(name)) for cell, name in cells], 2)  # type: ignore[misc]
    assert order == ["a", "b", "a", "b"]
    assert cells[0][0].requests_per_second == [500, 500]
    assert cells[0][0].cpu_seconds_per_request == {HAPROXY: [0.0005, 0.0005]}


RUN = Measurement(
    answered=Answered(requests=1000, seconds=2, p50_seconds=0.1, p99_seconds=0.2, errors=0),
    cpu_seconds={HAPROXY: 0.5},
    generator_cpu_seconds=1.0,
)


def test_apache_balances_between_several_containers_only() -> None:
    certificate = FrontCertificate(fullchain=Path("/c.pem"), privkey=Path("/k.pem"), live=Path("/"))
    containers = [LoopbackServer(name=f"app-{n}", address=f"127.0.4.{n}", port=80) for n in (1, 2)]
    one, two = (
        apache.configuration(Path("/a"), 443, certificate, containers[:count], apache.DEBIANS)
        for count in (1, 2)
    )
    assert "ProxyPass / http://127.0.4.1:80/\n" in one
    assert "BalancerMember" not in one
    assert "ProxyPass / balancer://app/\n" in two
    assert two.count("BalancerMember") == 2


@pytest.mark.parametrize("variation", VARIATIONS, ids=lambda each: each.name)
def test_each_variation_still_finds_what_it_changes(variation: Variation, tmp_path: Path) -> None:
    site = Site(tmp_path, tmp_path)
    stack = site.stack({"app": {}})
    text = site.text(stack, {"app": {"web-0": "127.0.0.1:1"}})
    flags = list(traefik.command("apps", ("127.0.0.1",)))
    labels = dict(traefik_labels("app", stack.services["app"]))
    start = variation.otherwise.start
    changed = (
        variation.otherwise.edge(text),
        list(start.flags(flags)),
        dict(start.labels(labels)),
        start.environment,
    )
    is_otherwise = changed != (text, flags, labels, ())
    assert is_otherwise == (variation.name != AS_DEPLOYED)


def test_a_variation_of_what_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match="gone"):
        replaced("^gone$", "")("global\n")


def test_an_edge_that_has_grown_has_as_many_pool_lines(tmp_path: Path) -> None:
    grown = growth.grown(10, str(tmp_path), "127.0.4.1:80", (80, 81))
    servers = [line for line in grown.text.splitlines() if " weight " in line]
    assert len([line for line in servers if " backup" not in line]) == 10
    assert grown.domains[0] == "app-00000.example.org"
    assert len(grown.domains) == 5
    assert "default-server check" in grown.text
    assert "default-server" not in growth.unchecked(grown.text)


def cell(front: str, rate: float, backends: int = 1, **cpu_seconds: float) -> dict[str, Any]:
    return {
        "front": front,
        "backends": backends,
        "connections": "kept",
        "size": "1 KB",
        "requests_per_second": [rate, rate * 1.1, rate * 0.9],
        "p50_seconds": [0.01] * 3,
        "p99_seconds": [10 / rate] * 3,
        "errors": [0, 0, 0],
        "cpu_seconds_per_request": {tier: [value] * 3 for tier, value in cpu_seconds.items()},
        "generator_cpu_seconds_per_request": [0.00002] * 3,
    }


def both(rate: float, name: str = BOTH, backends: int = 1) -> dict[str, Any]:
    return cell(name, rate, backends, **{HAPROXY: 0.00003, TRAEFIK: 0.0001})


RAW: dict[str, Any] = {
    "seconds_of_a_run": 2,
    "cells": [cell("Apache", 5000, Apache=0.0001), cell(ALONE, 6000, Traefik=0.0002), both(5500)],
    "variations": [both(5000, AS_DEPLOYED), both(6000, "faster")],
    "vms": [both(1000, backends=1), both(1950, backends=2), both(2500, backends=4)],
}


def test_the_data_paths_bars_are_met_or_missed() -> None:
    met = {bar.what: bar.met for bar in datapath_chapter.chapter(RAW).bars}
    assert len(met) == 6
    assert all(met.values()), met
    slow = copy.deepcopy(RAW)
    slow["cells"][2] = both(4000)
    slow["cells"][2]["errors"] = [0, 1, 0]
    slow["cells"][2]["cpu_seconds_per_request"][HAPROXY] = [0.00005] * 3
    slow["vms"][1] = both(1500, backends=2)
    missed = [bar for bar in datapath_chapter.chapter(slow).bars if not bar.met]
    assert len(missed) == 6


def test_the_data_path_is_told() -> None:
    written = datapath_chapter.chapter(RAW)
    assert "| HAProxy → Traefik | 5,500 (4,950–6,050) | 1.10 |" in written.text
    assert "| faster | 1.20 (1.20–1.20) |" in written.text
    assert "| 2 | 1,950 (1,755–2,145) | 1.95 |" in written.text
    assert {plot.file for plot in written.plots} == {"datapath-fronts.svg", "datapath-vms.svg"}


def point(lines: int, last: float) -> dict[str, Any]:
    return {
        "lines": lines,
        "config_bytes": [1024],
        "check_seconds": [0.1, 0.2, 0.3],
        "reload_seconds": [0.5],
        "resident_bytes": [2**20],
        "idle_cores": [0.01],
        "cpu_seconds_per_request": {"first": [0.00003], "last": [last]},
        "requests_per_second": {"first": [1.0], "last": [1.0]},
    }


def test_routing_that_grows_with_the_services_misses_its_bar() -> None:
    written = growth_chapter.chapter({"points": [point(10, 0.00003), point(10_000, 0.000031)]})
    assert "| 10,000 | 1.00 | 200 (100–300) | 500 (500–500) | 1.00 | 0.01 |" in written.text
    assert written.bars[0].met
    grown = growth_chapter.chapter({"points": [point(10, 0.00003), point(10_000, 0.0001)]})
    assert not grown.bars[0].met
