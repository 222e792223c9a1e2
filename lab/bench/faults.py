"""Faults: kill or restart something, and report when the edge noticed, and when it was back up."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from lab.bench.measured_lab import MeasuredLab, Notes, Trouble, until
from lab.datacentre import domains_of

SEEN_SECONDS = 15.0
"""Seconds to wait for the edge to notice a fault. Gatehouse promises 3; the report has the time."""
RETURN_SECONDS = 600.0
"""Seconds for a VM and its containers to be back, on an emulated CPU."""


class Watch:
    """Records when the states of the edge's servers change."""

    def __init__(self, site: MeasuredLab) -> None:
        self._site = site
        self._began = time.monotonic()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.changes: list[str] = []
        """Such as ``1.2 s: hello/web-0 DOWN``."""
        self.seen: float | None = None
        """Seconds until a server was not up, or the edge did not answer."""

    def begin(self) -> None:
        """Start watching."""
        self._thread.start()

    def end(self) -> None:
        """Stop watching."""
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        before = self._site.edge_states()
        while not self._end.wait(0.1):
            now = self._site.edge_states()
            if now == before:
                continue
            seconds = time.monotonic() - self._began
            if now is None:
                self.changes.append(f"{seconds:.1f} s: the edge does not answer")
            for server, state in (now or {}).items():
                if state != (before or {}).get(server):
                    self.changes.append(f"{seconds:.1f} s: {server} {state}")
            if self.seen is None and not (now and all(map(is_up, now.values()))):
                self.seen = seconds
            before = now


def is_up(state: str) -> bool:
    """Return whether a state of HAProxy's means up, even if one check has just failed."""
    return state.startswith("UP")


@contextmanager
def watched(site: MeasuredLab, notes: Notes) -> Iterator[Watch]:
    """Watch the edge from a fault until every server is up again, and note how long it took.

    Raises:
        Trouble: Not all are up within `RETURN_SECONDS`.
    """
    notes["fault at"] = datetime.now(UTC).isoformat(timespec="milliseconds")
    began = time.monotonic()
    watch = Watch(site)
    watch.begin()
    try:
        yield watch
        if until(site.all_up, RETURN_SECONDS) is None:
            raise Trouble(f"not all servers are up {RETURN_SECONDS:.0f} s after the fault")
        notes["all up again after"] = f"{time.monotonic() - began:.1f} s"
    finally:
        watch.end()
        seen = "not at all" if watch.seen is None else f"after {watch.seen:.1f} s"
        notes["the edge saw it"] = seen
        if watch.changes:
            notes["at the edge"] = "; ".join(watch.changes)


def _vm_and_container(site: MeasuredLab) -> tuple[str, str]:
    """Return a VM with a container of the service, and that container's id."""
    vm = next(iter(site.outputs()["vms"]))
    containers = site.on_vm(vm, "docker ps --quiet --filter label=gatehouse.slot").split()
    if not containers:
        raise Trouble(f"{vm} runs no container of a service")
    return vm, containers[0]


def container_killed(site: MeasuredLab) -> Notes:
    """Kill a container's process, as the kernel does when memory runs out; Docker starts it anew.

    Not by ``docker kill``: Docker would not restart the container, as the operator stopped it.
    """
    notes: Notes = {}
    vm, container = _vm_and_container(site)
    pid = site.on_vm(vm, f"docker inspect --format '{{{{.State.Pid}}}}' {container}").strip()

    def again() -> bool:
        try:
            # Docker does not answer questions about a container while it starts it.
            ask = f"timeout 10 docker inspect --format '{{{{json .State}}}}' {container}"
            state = json.loads(site.on_vm(vm, ask))
        except Trouble:
            return False
        return state["Pid"] not in (0, int(pid))

    with site.ready_as_root(vm, f"kill -9 {pid}") as kill, watched(site, notes):
        kill()
        took = until(again, RETURN_SECONDS)
    if took is None:
        raise Trouble(f"Docker did not start {container} on {vm} again")
    notes["Docker ran it again after"] = f"{took:.1f} s"
    return notes


def traefik_restarted(site: MeasuredLab) -> Notes:
    """Restart Traefik on one VM."""
    notes: Notes = {}
    vm, _ = _vm_and_container(site)
    listed = site.on_vm(vm, "docker ps --format '{{.ID}} {{.Image}} {{.Command}}' --no-trunc")
    found = [line.split()[0] for line in listed.splitlines() if "traefik" in line]
    if len(found) != 1:
        raise Trouble(f"{vm}: one Traefik expected, in:\n{listed}")
    with site.ready_as_root(vm, f"docker restart {found[0]}") as restart, watched(site, notes):
        restart()
    return notes


def docker_restarted(site: MeasuredLab) -> Notes:
    """Restart Docker on one VM; its containers go on running (live-restore)."""
    notes: Notes = {}
    vm, _ = _vm_and_container(site)
    started = "systemctl show --property ExecMainStartTimestampMonotonic docker"
    before = site.on_vm(vm, started)

    def again() -> bool:
        try:
            return before not in site.on_vm(vm, f"docker ps --quiet && {started}")
        except Trouble:  # it does not answer
            return False

    with watched(site, notes):
        site.as_root(vm, "systemctl restart docker", wait=False)
        took = until(again, RETURN_SECONDS)
        if took is None:
            raise Trouble(f"Docker on {vm} does not answer after its restart")
    notes["Docker answered again after"] = f"{took:.1f} s"
    return notes


def vm_killed(site: MeasuredLab) -> Notes:
    """Cut a VM's power, and start it with ``up`` once the edge has noticed."""
    notes: Notes = {}
    vm = list(site.outputs()["vms"])[-1]
    names = site.inside("virsh", "--quiet", "list", "--name").split()
    domain = domains_of(vm, names)
    if len(domain) != 1:
        raise Trouble(f"one domain of {vm} expected, in: {names}")
    with watched(site, notes) as watch:
        site.inside("virsh", "destroy", domain[0])
        until(lambda: watch.seen is not None, SEEN_SECONDS)
        site.up()
    return notes


def edge_worker_killed(site: MeasuredLab) -> Notes:
    """Kill HAProxy's worker; its master has to come back with another one."""
    notes: Notes = {}
    worker = site.edge.process("worker")
    if worker is None:
        raise Trouble("the edge's master lists no worker")
    with watched(site, notes):
        site.edge.there("kill", "-9", worker)
        if until(site.all_up, SEEN_SECONDS) is None:
            notes["the edge did not come back by itself"] = f"up after {SEEN_SECONDS:.0f} s"
            site.up()
    return notes
