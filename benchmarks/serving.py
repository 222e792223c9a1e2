"""Part of the benchmarks: from nothing to the first answer, in a lab of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import serving_chapter, timeline
from benchmarks.chapters import Chapter
from lab.bench.measured_lab import HOST, MeasuredLab, Trouble
from lab.commands import PROJECT
from lab.datacentre import ADDRESS, BASE_DISK
from lab.edge_access import EdgeHost

NAME = "serving"

_LAB = "numbers"
_RUNS = 3
_MEMORY = 1024  # MiB; as in Pulumi.lab.yaml
_SECONDS = 600.0  # for any one step; farm.boot_timeout's default
_START: Mapping[str, Any] = {"farm.vms": 1, "services.hello.replicas": 1}


def measure(*, quick: bool) -> dict[str, Any]:
    """Boot a VM alone, and apply a stack with one, then with one more container, one more VM.

    A quick run only boots the VM alone.

    Raises:
        Trouble: The lab does not do it.
    """
    with tempfile.TemporaryDirectory() as folder:
        site = MeasuredLab(
            name=_LAB, providers="auto", folder=Path(folder), log=Path(folder) / "log"
        )
        try:
            return _measured(site, runs=1 if quick else _RUNS, applied=not quick)
        finally:
            site.run("down")


def _measured(site: MeasuredLab, *, runs: int, applied: bool) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "alone_seconds": [],
        "ups": [],
        "container_seconds": [],
        "vm_seconds": [],
    }
    for _ in range(runs):
        site.run("down")
        site.datacentre.start([HOST])
        raw["vms"] = site.datacentre.domain_type()
        raw["alone_seconds"].append(_alone(site))
        if applied:
            raw["ups"].append(_first_up(site))
            for name, key, value, vm, slot in (
                ("container_seconds", "services.hello.replicas", 2, "web-0", 1),
                ("vm_seconds", "farm.vms", 2, "web-1", 0),
            ):
                site.configure({key: value})
                answered, _ = _up(site, f"hello-{vm}-{slot}")
                raw[name].append(answered)
        print(f"bench: serving: {raw}", flush=True)
    return raw


def _alone(site: MeasuredLab) -> float:
    ended = site.datacentre.enter(
        [
            *(sys.executable, "-m", "benchmarks.alone", "--image", str(BASE_DISK)),
            *("--domain-type", site.datacentre.domain_type(), "--memory", str(_MEMORY)),
            *("--seconds", str(_SECONDS)),
        ],
        cwd=PROJECT,
        capture=True,
        timeout=_SECONDS + 60,
    )
    if ended.returncode != 0:
        raise Trouble(f"the VM alone: exit code {ended.returncode}: {ended.stderr.strip()}")
    return float(ended.stdout)


def _first_up(site: MeasuredLab) -> dict[str, Any]:
    site.configure(_START)
    answered, lines = _up(site, "hello-web-0-0")
    shown = "systemctl show docker --property ActiveEnterTimestampMonotonic --value;"
    shown += "systemctl show docker --property InactiveExitTimestampMonotonic --value"
    active, begun = (int(line) for line in site.on_vm("web-0", shown).split())
    return {
        "answer_seconds": answered,
        "docker_seconds": (active - begun) / 1e6,
        "moments_seconds": timeline.moments(lines),
    }


def _up(site: MeasuredLab, container: str) -> tuple[float, list[tuple[float, str]]]:
    """Apply the config, and return when a container answered, and what the engine printed when.

    In s from when the engine began: nobody but a lab has one to be started first.

    Raises:
        Trouble: It failed, or the container did not answer.
    """
    asking = site.datacentre.popen(
        [
            *(sys.executable, "-m", "benchmarks.answers", "--edge", f"{ADDRESS}:443"),
            *("--url", f"https://{HOST}/", "--body", container, "--seconds", str(_SECONDS)),
            *("--trust", str(EdgeHost(stack=site.name, ssh="").certificates())),
        ],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        lines, code = _lines(site.command("up"))
        if code != 0:
            tail = "\n".join(text for _, text in lines[-25:])
            raise Trouble(f"up ended with code {code}:\n{tail}")
        answered = asking.communicate(timeout=_SECONDS)[0]
    finally:
        asking.kill()
        asking.wait()
    if asking.returncode != 0:
        raise Trouble(f"{container} does not answer through the edge")
    began = next(at for at, text in lines if text.startswith("engine:"))
    return float(answered) - began, [(at - began, text) for at, text in lines]


def _lines(command: list[str]) -> tuple[list[tuple[float, str]], int]:
    """Run a command, and return its lines with when they came, by the clock, and its exit code."""
    with subprocess.Popen(
        command,
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        lines = [(time.time(), line.rstrip("\n")) for line in process.stdout]
    return lines, process.returncode


def chapter(raw: Mapping[str, Any]) -> Chapter:
    """Return what raw data says."""
    return serving_chapter.chapter(raw)
