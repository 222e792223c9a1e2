"""The engine: a preview without changes against the preview of an empty program."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import pretended, sites
from benchmarks.chapters import Bar, Chapter, Plot, Series, series_of
from benchmarks.stats import paired, spread
from benchmarks.tables import median_range, number, table
from lab.pulumi import cli, resident
from lab.pulumi.tools import environment

NAME = "engine"

_SITES = (
    {"vms": 2, "services": 1, "replicas": 2},
    {"vms": 2, "services": 4, "replicas": 3},
    {"vms": 4, "services": 15, "replicas": 3},
)
"""About 50 resources, as the lab has, 100 and 500; as many replicas on each VM."""
_RUNS = 9
_QUICK_RUNS = 2
_MOST_RATIO = 3.0
_MOST_SECONDS = 600


def measure(*, quick: bool) -> dict[str, Any]:
    """Preview each site and an empty program alternately."""
    wanted = _SITES[: 1 if quick else None]
    runs = _QUICK_RUNS if quick else _RUNS
    sizes = []
    with cli.being_built():
        pass
    pulumi = cli.ready()
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty"
        empty.mkdir()
        pretended.project(empty, None, {})
        pretended.applied(empty, pulumi)
        for number_of, site in enumerate(wanted):
            print(f"bench: engine: making up a state for {site}", flush=True)
            whole = Path(folder) / str(number_of)
            whole.mkdir()
            pretended.project(whole, sites.PROGRAM, sites.config(**site))
            resources = pretended.applied(whole, pulumi)
            print(f"bench: engine: {runs} previews of {resources} resources", flush=True)
            _preview(whole)  # so that all is compiled and read once
            times: dict[str, list[float]] = {"preview_seconds": [], "floor_seconds": []}
            for _ in range(runs):
                times["floor_seconds"].append(_preview(empty))
                times["preview_seconds"].append(_preview(whole))
            sizes.append({**site, "resources": resources, **times})
    imports = [_imports() for _ in range(runs)]
    return {"engine": f"Pulumi {pulumi.version}", "sizes": sizes, "imports_seconds": imports}


def _preview(project: Path) -> float:
    """Return how long a preview takes, in seconds, with the process that forks its plugins.

    Raises:
        RuntimeError: It found something to change, or failed.
    """
    stack = pretended.stack(project)
    began = time.perf_counter()
    with resident.running(environment(stack.folder, os.environ)) as variables:
        done = subprocess.run(
            (
                *(str(stack.folder / "bin" / "pulumi"), "preview", "--non-interactive"),
                *("--stack", stack.stack, "--expect-no-changes"),
                *("--config-file", str(stack.folder / "project" / stack.config_file.name)),
            ),
            cwd=project,
            env=variables,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_MOST_SECONDS,
        )
        seconds = time.perf_counter() - began
    if done.returncode != 0:
        raise RuntimeError(f"{project}: a preview of what was just applied:\n{done.stdout}")
    return seconds


def _imports() -> float:
    seconds = subprocess.run(
        (sys.executable, "-m", "benchmarks.imports"),
        cwd=sites.PROJECT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=_MOST_SECONDS,
    ).stdout
    return float(seconds)


def chapter(raw: Mapping[str, Any]) -> Chapter:
    """Return how many times the floor a preview takes."""
    sizes = raw["sizes"]
    rows = [
        (
            str(each["resources"]),
            median_range(spread(each["preview_seconds"])),
            median_range(spread(each["floor_seconds"])),
            median_range(paired(each["preview_seconds"], each["floor_seconds"])),
        )
        for each in sizes
    ]
    head = ("resources", "preview, s", "empty program, s", "ratio")
    return Chapter(
        title="The engine",
        text="\n\n".join((*_old(raw), _HOW, table(head, rows), _why(raw))),
        meaning=_meaning(raw),
        bars=(_bar(raw),) if _is_pulumi(raw) else (),
        plots=(_plot(raw),),
    )


def _bar(raw: Mapping[str, Any]) -> Bar:
    smallest = raw["sizes"][0]
    ratio = paired(smallest["preview_seconds"], smallest["floor_seconds"]).median
    return Bar(
        what=f"engine: preview without changes of {smallest['resources']} resources,"
        " times that of an empty program",
        wanted=f"at most {_MOST_RATIO:g}",
        measured=number(ratio),
        met=ratio <= _MOST_RATIO,
    )


def _old(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """A warning above figures that no longer hold."""
    if _is_pulumi(raw):
        return ()
    return (
        "**These figures are of the lab's former engine, and not of the Pulumi CLI:** it has not"
        " been measured again since it was replaced.",
    )


def _is_pulumi(raw: Mapping[str, Any]) -> bool:
    return str(raw["engine"]).startswith("Pulumi")


def _meaning(raw: Mapping[str, Any]) -> tuple[str, ...]:
    if not _is_pulumi(raw):
        return ()
    took = ", ".join(
        f"{number(spread(each['preview_seconds']).median)} s with {each['resources']} resources"
        for each in raw["sizes"]
    )
    return (f"**A preview** that finds nothing to change takes {took}.",)


_HOW = (
    "This is the time of a `pulumi preview` that finds nothing to change, from the start of the CLI"
    " to its end. It is compared with a program that only imports the SDK; the two take turns, and"
    " ratios are of neighbors. The providers are the lab's stand-ins"
    " ([why](adr/0024-the-real-engine-and-stand-in-providers.md)): no lab has 500 resources, and"
    " the stand-ins' state can be generated, by applying the program with handlers that create"
    " nothing. A preview asks neither VMs nor the hypervisor."
)


def _why(raw: Mapping[str, Any]) -> str:
    smallest = raw["sizes"][0]
    imports = spread(raw["imports_seconds"])
    more = spread(smallest["preview_seconds"]).median - spread(smallest["floor_seconds"]).median
    return (
        f"Of the {number(more)} s that {smallest['resources']} resources take on top of the empty"
        f" program, {median_range(imports)} s are imports that the empty program does not have: the"
        " providers' packages, which import all of their modules at once, pydantic with the"
        " models, and Jinja."
    )


def _plot(raw: Mapping[str, Any]) -> Plot:
    def series(label: str, key: str) -> Series:
        spreads = [spread(each[key]) for each in raw["sizes"]]
        return series_of(label, tuple(str(each["resources"]) for each in raw["sizes"]), spreads)

    return Plot(
        file="engine.svg",
        kind="bar",
        title="A preview without changes",
        alt="Time of a preview by the number of resources, beside that of an empty program.",
        x_label="resources",
        y_label="seconds",
        series=(series("Gatehouse", "preview_seconds"), series("empty program", "floor_seconds")),
    )
