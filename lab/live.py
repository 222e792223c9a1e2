"""What really runs, asked of the edge and of each VM's Docker; never of a state file.

Runs inside the lab, where both can be reached.
"""

from __future__ import annotations

import csv
import io
import json
import socket
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.service.labels import SLOT_LABEL
from components.vm.ssh import SSH_USER, options

SSH_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Container:
    """One container of a service."""

    id: str
    state: str
    """As Docker has it: ``running``, ``exited``, ``restarting`` and so on."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One VM as the table shows it."""

    vm: str
    address: str
    containers: str
    edge: str


def edge_states(stats: str) -> dict[str, dict[str, str]]:
    """Return, per VM and per pool, the state that HAProxy gives its server.

    Args:
        stats: The answer to ``show stat``, CSV with a head that starts with ``# ``.
    """
    states: dict[str, dict[str, str]] = {}
    for row in csv.DictReader(io.StringIO(stats.removeprefix("# "))):
        # A pool with an underscore is the edge's own; no service can be called that.
        if row["svname"] not in ("FRONTEND", "BACKEND") and not row["pxname"].startswith("_"):
            states.setdefault(row["svname"], {})[row["pxname"]] = row["status"]
    return states


def ask_edge(admin_socket: Path, command: str) -> str | None:
    """Return HAProxy's answer on its admin socket, or None if nobody answers there."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(admin_socket))
            connection.sendall(f"{command}\n".encode())
            with connection.makefile() as answer:
                return answer.read()
    except OSError:
        return None


def containers(listed: str) -> dict[str, Container]:
    """Return each service's container by slot, from the JSON lines of ``docker ps``."""
    found = {}
    for line in listed.splitlines():
        container = json.loads(line)
        labels = dict(pair.partition("=")[::2] for pair in container["Labels"].split(","))
        if SLOT_LABEL in labels:
            found[labels[SLOT_LABEL]] = Container(id=container["ID"], state=container["State"])
    return dict(sorted(found.items()))


def ask_docker(vm: str, address: str, keys: Path) -> dict[str, Container] | None:
    """Return the containers on a VM, or None if its Docker does not answer."""
    connection = options(
        key_file=str(keys / "id_ed25519"), known_hosts=str(keys / f"{vm}.known_hosts"), host=vm
    )
    try:
        answer = subprocess.run(
            ["ssh", *connection, f"{SSH_USER}@{address}", "docker ps --all --format '{{json .}}'"],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SSH_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return None
    return containers(answer.stdout) if answer.returncode == 0 else None


def ask_all(addresses: Mapping[str, str], keys: Path) -> dict[str, dict[str, Container] | None]:
    """Return what ``ask_docker`` says of each VM, asked at the same time."""
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda vm: ask_docker(vm, addresses[vm], keys), addresses)
        return dict(zip(addresses, found, strict=True))


def rows(
    outputs: Mapping[str, Any],
    found: Mapping[str, Mapping[str, Container] | None],
    stats: str | None,
) -> list[Row]:
    """Return the table's rows: the VMs that the stack's outputs name, with their live state.

    Args:
        outputs: The stack's.
        found: The containers on each VM; None where its Docker does not answer.
        stats: The edge's answer to ``show stat``; None if it does not answer.
    """
    states = edge_states(stats) if stats is not None else None
    return [
        Row(
            vm=vm,
            address=value["address"],
            containers=_containers_text(found[vm]),
            edge=_edge_text(states.get(vm, {})) if states is not None else "edge does not answer",
        )
        for vm, value in outputs["vms"].items()
    ]


def table(lines: Sequence[Row]) -> str:
    """Return the rows as text in columns, with a head."""
    cells = [("VM", "ADDRESS", "CONTAINERS", "AT THE EDGE")]
    cells += [(row.vm, row.address, row.containers, row.edge) for row in lines]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def _containers_text(found: Mapping[str, Container] | None) -> str:
    if found is None:
        return "Docker does not answer"
    shown = [
        slot if each.state == "running" else f"{slot} ({each.state})"
        for slot, each in found.items()
    ]
    return ", ".join(shown) or "none"


def _edge_text(states: Mapping[str, str]) -> str:
    return ", ".join(f"{pool} {state}" for pool, state in states.items()) or "in no pool"
