"""Measure failed and slow requests: ``python -m lab.bench --name bench --rate 10``."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from lab.bench import lab_info, report
from lab.bench.faults import RETURN_SECONDS
from lab.bench.lab_load import LoadTrouble
from lab.bench.measured_lab import MeasuredLab, Trouble, until
from lab.bench.report import ScenarioResult
from lab.bench.scenarios import SCENARIOS, SMALLEST, Scenario, chosen, way_to

LEAD_SECONDS = 3.0
"""Seconds of load before a scenario, in which all four kinds of client connect."""
TAIL_SECONDS = 6.0
"""Seconds of load after it: late effects of an update show within a check interval or two."""
MOST_REQUESTS = 200_000


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One run of the benchmark."""

    site: MeasuredLab
    out: Path
    quiet_seconds: float
    """The duration of `nothing changes`, and of each rate that `highest` tries."""

    def measure(self, scenario: Scenario, rate: float) -> ScenarioResult:
        """Run one scenario under load; the result includes its errors."""
        site, error, notes = self.site, None, {}
        if until(site.all_up, RETURN_SECONDS) is None:
            raise Trouble(
                f"before {scenario.name!r}: the edge does not have all servers up:"
                f" {site.edge_states()}"
            )
        load = site.load(rate, scenario.name, MOST_REQUESTS)
        try:
            load.go_on(LEAD_SECONDS)
            try:
                notes = scenario.act(site)
            except Trouble as trouble:
                error = str(trouble)
            load.go_on(self.quiet_seconds if scenario.quiet else TAIL_SECONDS)
            result = load.finish()
        except BaseException:
            load.kill()
            raise
        if "fault at" in notes:
            failing = report.failing_for(result, datetime.fromisoformat(notes["fault at"]))
            notes["POSTs handled twice"] = site.posts_handled_twice()
            notes["clients saw failures for"] = f"{failing:.1f} s"
        return ScenarioResult(
            scenario=scenario.name, fault=scenario.fault, load=result, notes=notes, error=error
        )

    def calibrate(self, start: float, most: float) -> float:
        """Find the highest rate that the smallest site carries without any change.

        Raises:
            Trouble: It does not carry even the first one.
        """
        self.site.settle(SMALLEST.config)

        def carries(rate: float) -> bool:
            measured = self.measure(SMALLEST, rate)
            print(f"# at {rate:g}/s: {report.line(measured)}", flush=True)
            self.keep(measured, rate)
            return report.carried(measured.load)

        found = report.highest_rate(carries, start, most)
        if found is None:
            raise Trouble(f"not even {start:g} requests/s are carried without loss; see above")
        return found

    def keep(self, measured: ScenarioResult, rate: float) -> None:
        """Append a result to the raw data."""
        with (self.out / "results.jsonl").open("a") as file:
            file.write(json.dumps({"rate": rate, **asdict(measured)}) + "\n")

    def run(self, scenarios: Sequence[Scenario], rate: float, least: int) -> list[ScenarioResult]:
        """Run all scenarios, and repeat some until there are ``least`` requests during changes.

        It repeats those in which no VM boots: a boot takes minutes on an emulated processor.
        """
        runs = [run for scenario in scenarios for run in self._measured(scenario, rate)]
        again = [scenario for scenario in scenarios if not scenario.fault and not scenario.boots]
        while again and sum(run.requests for run in runs if not run.fault) < least:
            runs += [run for scenario in again for run in self._measured(scenario, rate)]
        return runs

    def _measured(self, scenario: Scenario, rate: float) -> list[ScenarioResult]:
        """Run a scenario, after the change to its initial config, which counts like any other."""
        way = way_to(scenario, self.site)
        runs = []
        for each in (way, scenario) if way is not None else (scenario,):
            its_rate = rate / 2 if each.boots else rate
            measured = self.measure(each, its_rate)
            print("\n".join([report.line(measured), *report.remarks(measured)]), flush=True)
            self.keep(measured, its_rate)
            runs.append(measured)
        return runs


def main(arguments: list[str]) -> int:
    """Run it; return 1 if a request failed during a change or a scenario went wrong, else 0."""
    args = _parser().parse_args(arguments)
    if args.list:
        print("\n".join(scenario.name for scenario in SCENARIOS))
        return 0
    try:
        scenarios = chosen(args.scenarios, short=args.short)
        with tempfile.TemporaryDirectory() as folder:
            out = args.out or Path(folder)
            out.mkdir(parents=True, exist_ok=True)
            site = MeasuredLab(
                name=args.name, providers=args.providers, folder=Path(folder), log=out / "up.log"
            )
            return _run(
                Bench(site=site, out=out, quiet_seconds=20 if args.short else 60), scenarios, args
            )
    except (Trouble, LoadTrouble) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _run(bench: Bench, scenarios: Sequence[Scenario], args: argparse.Namespace) -> int:
    for old in ("results.jsonl", "summary.csv"):
        (bench.out / old).unlink(missing_ok=True)
    print(f"# the lab {args.name!r} is brought up; `make down LAB={args.name}` removes it")
    bench.site.settle((SMALLEST if args.rate == "highest" else scenarios[0]).config)
    bench.site.apart = True
    info = lab_info.described(bench.site)
    lab_info.write(bench.out, info)
    print("\n".join(f"# {name}: {value}" for name, value in info.items()), flush=True)
    rate = bench.calibrate(10, 640) if args.rate == "highest" else float(args.rate)
    print(f"# {rate:g} requests/s; times in ms\n{report.HEAD}", flush=True)
    runs = bench.run(scenarios, rate, args.requests)
    summary = report.summary(runs)
    print("\n".join(summary), flush=True)
    lines = [report.HEAD, *(report.line(run) for run in runs), *summary]
    (bench.out / "summary.csv").write_text("\n".join(lines) + "\n")
    return report.exit_code(runs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab.bench", description=__doc__)
    parser.add_argument("--name", default="bench", help="which lab; its stack is changed a lot")
    parser.add_argument("--providers", choices=("auto", "real", "lab"), default="auto")
    parser.add_argument("--rate", default="10", help="requests/s, or `highest` to find it first")
    parser.add_argument("--short", action="store_true", help="a few minutes, not all scenarios")
    parser.add_argument("--scenarios", default="", help="names, separated by `;`")
    parser.add_argument("--requests", type=int, default=0, help="repeat the changes up to here")
    parser.add_argument("--out", type=Path, help="a folder for the raw results")
    parser.add_argument("--list", action="store_true", help="only list the scenarios")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
