"""The live state: read from the edge and each VM's Docker, never from a state file.

Runs inside the lab, where both can be reached.
"""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.edge.haproxy import FALLBACK
from controller.ssh import SSH_USER, options_in
from remote.edge_agent.certificates import day
from remote.edge_agent.status import Status
from remote.names import SLOT_LABEL

SSH_SECONDS = 30.0
CERTIFICATES = "files/certs"
"""The certificates that the edge serves, below its folder."""


@dataclass(frozen=True, kw_only=True)
class LiveContainer:
    """One container of a service."""

    id: str
    state: str
    """As Docker has it: ``running``, ``exited``, ``restarting`` and so on."""


@dataclass(frozen=True, kw_only=True)
class LiveServer:
    """A VM in the backend of a service, as HAProxy sees it; or all of the backend."""

    service: str
    vm: str | None
    """None for the whole backend."""
    state: str
    """``UP``, ``DOWN``, ``MAINT``, ``UP 1/2`` when a check has just failed, and so on."""
    weight: int
    sessions: int
    """Requests in flight and tunnels."""
    rate: int
    """Requests that began in the last second."""
    check: str
    """The result of the last check and its duration; empty if there was none."""


def servers(stats: str) -> list[LiveServer]:
    """Return the servers of each service, followed by its backend, in HAProxy's order.

    Args:
        stats: The answer to ``show stat``, CSV with a head that starts with ``# ``.
    """
    return [
        LiveServer(
            service=row["pxname"],
            vm=row["svname"] if row["svname"] != "BACKEND" else None,
            state=row["status"],
            weight=int(row["weight"] or 0),
            sessions=int(row["scur"] or 0),
            rate=int(row["rate"] or 0),
            check=_check_text(row),
        )
        for row in csv.DictReader(io.StringIO(stats.removeprefix("# ")))
        # A backend with an underscore is the edge's own; no service can have such a name.
        if row["svname"] != "FRONTEND"
        and not row["pxname"].startswith("_")
        and not row["svname"].endswith(FALLBACK)
    ]


def _check_text(row: Mapping[str, str]) -> str:
    if not row["check_status"]:
        return ""
    # HAProxy marks a check in progress with `* `; the result is the previous one, with code 0.
    code = row["check_code"].removeprefix("0")
    what = "/".join(filter(None, (row["check_status"].removeprefix("* "), code)))
    took = f" in {row['check_duration']} ms" if row["check_duration"] else ""
    failed = "" if row["status"] == "UP" else row["last_chk"]
    return f"{what}{took}" + (f": {failed}" if failed else "")


def edge_states(stats: str) -> dict[str, dict[str, str]]:
    """Return, per VM and per service, the state that HAProxy gives its server."""
    states: dict[str, dict[str, str]] = {}
    for server in servers(stats):
        if server.vm is not None:
            states.setdefault(server.vm, {})[server.service] = server.state
    return states


LIST = (
    """docker ps --all --format '{"id": {{json .ID}}, "state": {{json .State}},"""
    f""" "slot": {{{{json (.Label "{SLOT_LABEL}")}}}} }}'"""
)
"""The command that lists a VM's containers. It asks for one label, because ``docker ps`` joins all
labels with commas, which their values may have too."""


def containers(listed: str) -> dict[str, LiveContainer]:
    """Return each service's container by slot, from the output of `LIST`."""
    found = {}
    for line in listed.splitlines():
        entry = json.loads(line)
        if entry["slot"]:
            found[entry["slot"]] = LiveContainer(id=entry["id"], state=entry["state"])
    return dict(sorted(found.items()))


def ask_docker(vm: str, address: str, keys: Path) -> dict[str, LiveContainer] | None:
    """Return the containers on a VM, or None if its Docker does not answer."""
    try:
        answer = subprocess.run(
            [
                "ssh",
                *options_in(keys, vm),
                f"{SSH_USER}@{address}",
                LIST,
            ],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SSH_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return None
    return containers(answer.stdout) if answer.returncode == 0 else None


def ask_all(addresses: Mapping[str, str], keys: Path) -> dict[str, dict[str, LiveContainer] | None]:
    """Return the result of ``ask_docker`` for each VM, called in parallel."""
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda vm: ask_docker(vm, addresses[vm], keys), addresses)
        return dict(zip(addresses, found, strict=True))


def status(
    outputs: Mapping[str, Any],
    found: Mapping[str, Mapping[str, LiveContainer] | None],
    stats: str | None,
) -> str:
    """Return the tables of VMs and of services.

    Args:
        outputs: The stack's; they name the VMs.
        found: The containers on each VM; None where its Docker does not answer.
        stats: The edge's answer to ``show stat``; None if it does not answer.
    """
    states = edge_states(stats) if stats is not None else None
    vms = [
        (
            vm,
            value["address"],
            _containers_text(found[vm]),
            _edge_text(states.get(vm, {})) if states is not None else "edge does not answer",
        )
        for vm, value in outputs["vms"].items()
    ]
    text = table(("VM", "ADDRESS", "CONTAINERS", "AT THE EDGE"), vms)
    if stats is None:
        return text
    backends = [
        (
            each.service,
            each.vm or "all",
            each.state,
            str(each.weight),
            str(each.sessions),
            f"{each.rate}/s",
            each.check,
        )
        for each in servers(stats)
    ]
    head = ("SERVICE", "VM", "STATE", "WEIGHT", "SESSIONS", "RATE", "LAST CHECK")
    return f"{text}\n\n{table(head, backends)}"


def certificates(known: Status, now: float) -> str:
    """Return the table of certificates, and the problems of the edge's last check."""
    rows = [
        (domain, day(ends), f"{(ends - now) / 86400:.0f}") for domain, ends in known.ends.items()
    ]
    text = f"\n{table(('CERTIFICATE', 'ENDS', 'DAYS LEFT'), rows)}\n"
    minutes = f"{(now - known.looked) / 60:.0f} minutes ago"
    return text + "".join(f"problem, {minutes}: {each}\n" for each in known.problems)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows as text in columns, below their head."""
    cells = [head, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def _containers_text(found: Mapping[str, LiveContainer] | None) -> str:
    if found is None:
        return "Docker does not answer"
    shown = [
        slot if each.state == "running" else f"{slot} ({each.state})"
        for slot, each in found.items()
    ]
    return ", ".join(shown) or "none"


def _edge_text(states: Mapping[str, str]) -> str:
    return ", ".join(f"{backend} {state}" for backend, state in states.items()) or "in no backend"
