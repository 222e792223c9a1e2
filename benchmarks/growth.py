"""Part of the benchmarks: what more and more services cost the edge."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import growth_chapter
from benchmarks.chapters import Chapter
from benchmarks.path import cpu
from benchmarks.path.application import SIZES, Application, prepared
from benchmarks.path.front import BenchError, Front
from benchmarks.path.load_tools import plain_load
from benchmarks.path.variations import replaced
from benchmarks.process_memory import resident_bytes
from components.config.loading import parse
from components.edge.backends import backend
from components.edge.haproxy import render
from lab.loopback.ports import free_ports
from remote.archive import EDGE_AGENT, archive
from remote.edge_agent import chroot
from remote.edge_agent.bundle import pack, unpack
from remote.edge_agent.instance import Instance
from remote.edge_agent.swap import put
from remote.edge_agent.system import haproxy, poll

NAME = "growth"
LINES = (10, 100, 1_000, 10_000)
"""Servers in backends: services times VMs."""
VMS = 2
_REPETITIONS = 5
_POLL_SECONDS = 0.002
_WAIT_SECONDS = 60.0
_WATCHED_SECONDS = 4.0
_RUN_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Grown:
    """An edge with many services."""

    text: str
    """The edge agent's input."""
    domains: tuple[str, ...]
    """In the order of the text."""


def grown(lines: int, folder: str, address: str, ports: tuple[int, int]) -> Grown:
    """Return an edge's text with so many servers in backends.

    Args:
        lines: How many; each service has one on each of `VMS` VMs.
        folder: The edge's.
        address: ``host:port`` of what answers for all VMs.
        ports: The edge's for HTTP, and for its statistics.
    """
    names = [f"app-{number:05}" for number in range(lines // VMS)]
    services = {
        name: {"image": "app:1", "hosts": [f"{name}.example.org"], "port": 80} for name in names
    }
    edge = {"bind": "127.0.0.1", "port": ports[0], "stats": {"port": ports[1]}}
    stack = parse({"farm": {"vms": VMS, "image": "x"}, "services": services, "edge": edge})
    vms = {f"web-{number}": address for number in range(VMS)}
    backends = [
        backend(name, service, dict.fromkeys(vms, 1), vms)
        for name, service in stack.services.items()
    ]
    return Grown(
        text=pack(render(backends, stack.edge, folder)),
        domains=tuple(f"{name}.example.org" for name in names),
    )


def unchecked(text: str) -> str:
    """Return a haproxy.cfg whose servers are not checked, so that nothing else takes time."""
    return replaced(r"^    default-server (check|observe) .*\n", "")(text)


def measure(*, quick: bool) -> dict[str, Any]:
    """Measure an edge with 10, 100, 1,000 and 10,000 servers in its backends."""
    repetitions = 2 if quick else _REPETITIONS
    with prepared("growth") as made:
        return {
            "points": [
                _point(lines, made.app, repetitions, quick=quick)
                for lines in (LINES[:3] if quick else LINES)
            ]
        }


def chapter(raw: Mapping[str, Any]) -> Chapter:
    """Return what raw data says."""
    return growth_chapter.chapter(raw)


def _point(lines: int, app: Application, repetitions: int, *, quick: bool) -> dict[str, Any]:
    checked = _Edge(lines, app)
    with checked.running(checked.grown.text) as instance:
        checks = [_check_seconds(instance) for _ in range(repetitions)]
        reloads = [_reload_seconds(instance) for _ in range(repetitions)]
        idle = [_busy(instance, 1.0 if quick else _WATCHED_SECONDS) for _ in range(1)]
        resident = [resident_bytes(_worker(instance))]
    routed = _Edge(lines, app)
    with routed.running(unchecked(routed.grown.text)) as instance:
        worker = Front(name="edge", port=routed.port, tiers={"edge": (_worker(instance),)})
        domains = {"first": routed.grown.domains[0], "last": routed.grown.domains[-1]}
        seconds = 1.0 if quick else _RUN_SECONDS
        runs: dict[str, list[float]] = {which: [] for which in domains}
        rates: dict[str, list[float]] = {which: [] for which in domains}
        for _ in range(repetitions):
            for which, domain in domains.items():
                run = plain_load(worker, domain, f"/{SIZES['1 KB']}", seconds)
                if run.answered.errors:
                    raise BenchError(f"{domain}: {run.answered.errors} requests failed")
                runs[which].append(run.cpu_seconds["edge"] / run.answered.requests)
                rates[which].append(run.answered.requests / run.answered.seconds)
    return {
        "lines": lines,
        "config_bytes": [len(checked.grown.text.encode())],
        "check_seconds": checks,
        "reload_seconds": reloads,
        "resident_bytes": resident,
        "idle_cores": idle,
        "cpu_seconds_per_request": runs,
        "requests_per_second": rates,
    }


class _Edge:
    def __init__(self, lines: int, app: Application) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="gatehouse-edge-")
        container = app.containers[0]
        self.port, stats = free_ports(2)
        self.folder = Path(self._folder.name) / "edge"
        address = f"{container.address}:{container.port}"
        self.grown = grown(lines, str(self.folder), address, (self.port, stats))

    @contextlib.contextmanager
    def running(self, text: str) -> Iterator[Instance]:
        """Run it as the edge agent does, but without asking the servers, which answer."""
        instance = Instance(str(self.folder), "bench-growth")
        try:
            with instance.locked():
                chroot.make(instance.folder)
                instance.forget_state()
                instance.keep_program(archive(EDGE_AGENT))
                put(instance, None, unpack(text))
            yield instance
        finally:
            instance.stop()
            self._folder.cleanup()


def _check_seconds(instance: Instance) -> float:
    began = time.monotonic()
    done = subprocess.run(
        (haproxy(), "-c", "-f", str(instance.live)), check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise BenchError(f"haproxy -c refuses the configuration:\n{done.stdout}{done.stderr}")
    return time.monotonic() - began


def _reload_seconds(instance: Instance) -> float:
    """From the command to the new worker's first answer; the old one has ended after that."""
    old = _worker(instance)
    began = time.monotonic()
    instance.ask_master("reload")
    if not poll(lambda: _worker(instance) not in {old, 0}, _WAIT_SECONDS, _POLL_SECONDS):
        raise BenchError(f"no new worker answers {_WAIT_SECONDS:.0f} s after a reload")
    took = time.monotonic() - began
    if not poll(lambda: instance.workers() == [_worker(instance)], _WAIT_SECONDS):
        raise BenchError(f"an old worker is still there {_WAIT_SECONDS:.0f} s after a reload")
    return took


def _worker(instance: Instance) -> int:
    """Return the number of the worker that answers, or 0 if none does."""
    for line in (instance.ask_master("@1 show info") or "").splitlines():
        if line.startswith("Pid: "):
            return int(line.removeprefix("Pid: "))
    return 0


def _busy(instance: Instance, seconds: float) -> float:
    """Return how many processors a worker keeps busy that only checks its servers."""
    worker = _worker(instance)
    before = cpu.tree_seconds([worker], cpu.processes())
    began = time.monotonic()
    poll(lambda: False, seconds)
    took = time.monotonic() - began
    return (cpu.tree_seconds([worker], cpu.processes()) - before) / took
