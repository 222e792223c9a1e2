"""Load on a front, bounded in time and connections, and what came of it.

Kept connections are wrk's. New ones are ab's, with a whole TLS handshake for each request: wrk
takes up the TLS session that it had (HAProxy counts 99 % as such), which costs no signature.
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.path import cpu
from benchmarks.path.application import path
from benchmarks.path.front import HOST, BenchError, Front

KEPT, NEW = "kept", "new"
"""Kinds of connections: one for all requests, or one for each."""
CONNECTIONS = 64
_MOST_REQUESTS = 10_000_000
_WRK_THREADS = 2
_REPORT = """\
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format(
    'result {"requests": %d, "us": %d, "p50": %d, "p99": %d, "errors": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The result of a load generator."""

    requests: int
    seconds: float
    p50_seconds: float
    p99_seconds: float
    errors: int
    """Of any kind, answers other than 2xx and 3xx included."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One run of the load generator, and what it took."""

    answered: Answered
    cpu_seconds: dict[str, float]
    """By tier of the front."""
    generator_cpu_seconds: float


def of_wrk(output: str) -> Answered:
    """Return the result in wrk's report.

    Raises:
        BenchError: There is none.
    """
    for line in output.splitlines():
        if line.startswith("result "):
            result = json.loads(line.removeprefix("result "))
            return Answered(
                requests=result["requests"],
                seconds=result["us"] / 1e6,
                p50_seconds=result["p50"] / 1e6,
                p99_seconds=result["p99"] / 1e6,
                errors=result["errors"],
            )
    raise BenchError(f"no result from wrk:\n{output}")


def of_ab(output: str, percentiles: str) -> Answered:
    """Return the result in ab's report.

    Args:
        output: Its report.
        percentiles: Its table of ms by percentage.

    Raises:
        BenchError: Something is missing.
    """
    matches = {
        name: re.search(rf"^{name}:\s+([0-9.]+)", output, re.MULTILINE)
        for name in ("Complete requests", "Failed requests", "Time taken for tests")
    }
    by_percentage = dict(line.split(",") for line in percentiles.splitlines()[1:])
    if not all(matches.values()) or not {"50", "99"} <= by_percentage.keys():
        raise BenchError(f"ab does not tell all:\n{output}\n{percentiles}")
    numbers = {name: float(found[1]) for name, found in matches.items() if found}
    other = re.search(r"^Non-2xx responses:\s+(\d+)", output, re.MULTILINE)
    return Answered(
        requests=int(numbers["Complete requests"]),
        seconds=numbers["Time taken for tests"],
        p50_seconds=float(by_percentage["50"]) / 1e3,
        p99_seconds=float(by_percentage["99"]) / 1e3,
        errors=int(numbers["Failed requests"]) + (int(other[1]) if other else 0),
    )


def load(front: Front, connections: str, size: str, seconds: float) -> Measurement:
    """Load a front for some seconds, whole ones for ab.

    Raises:
        BenchError: The load generator fails.
    """
    url = f"https://127.0.0.1:{front.port}{path(size)}"
    generate = _wrk if connections == KEPT else _ab
    return _counted(front, lambda: generate(url, HOST, seconds))


def plain_load(front: Front, domain: str, where: str, seconds: float) -> Measurement:
    """Load a front without TLS with requests for one of its domains, over kept connections."""
    return _counted(front, lambda: _wrk(f"http://127.0.0.1:{front.port}{where}", domain, seconds))


def _counted(front: Front, generate: Callable[[], Answered]) -> Measurement:
    before, own = cpu.processes(), _children_seconds()
    answered = generate()
    after = cpu.processes()
    return Measurement(
        answered=answered,
        cpu_seconds={
            tier: cpu.tree_seconds(pids, after) - cpu.tree_seconds(pids, before)
            for tier, pids in front.tiers.items()
        },
        generator_cpu_seconds=_children_seconds() - own,
    )


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _wrk(url: str, domain: str, seconds: float) -> Answered:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "report.lua"
        script.write_text(_REPORT)
        output = _output(
            *("wrk", f"-t{_WRK_THREADS}", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s"),
            *("--timeout", "10s", "-s", str(script), "-H", f"Host: {domain}"),
            url,
            seconds=seconds,
        )
    return of_wrk(output)


def _ab(url: str, domain: str, seconds: float) -> Answered:
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "percentiles.csv"
        output = _output(
            *("ab", "-q", "-c", str(CONNECTIONS), "-t", str(max(1, round(seconds)))),
            *("-n", str(_MOST_REQUESTS), "-f", "TLS1.3", "-H", f"Host: {domain}", "-e", str(table)),
            url,
            seconds=seconds,
        )
        return of_ab(output, table.read_text())


def _output(*command: str, seconds: float) -> str:
    began = time.monotonic()
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=seconds + 30
        )
    except subprocess.TimeoutExpired as error:
        waited = time.monotonic() - began
        raise BenchError(f"{command[0]} does not end after {waited:.0f} s") from error
    if done.returncode != 0:
        raise BenchError(f"{' '.join(command)} fails:\n{done.stdout}{done.stderr}")
    return done.stdout
