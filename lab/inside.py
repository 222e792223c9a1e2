"""Run inside the lab: ``python -m lab.inside status|smoke|show|docker-answers SECONDS``.

Takes the stack's outputs as JSON on standard input. SECONDS is how long it may take to become true.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from components.config import Edge
from lab import live, web

STACK = "lab"
KEYS = Path(".gatehouse") / STACK
ADMIN_SOCKET = Path(Edge().folder) / STACK / "admin.sock"


def status(outputs: dict[str, Any]) -> int:
    """Print the table."""
    print(live.table(live.rows(outputs, KEYS, ADMIN_SOCKET)), flush=True)
    return 0


def smoke(outputs: dict[str, Any], seconds: float) -> int:
    """Print who answered, and end with 1 if somebody did not."""
    answered, expected = web.smoke(outputs, seconds)
    missing = web.missing_line(answered, expected)
    if missing is not None:
        print(missing)
    print(f"smoke: {len(answered & expected)}/{len(expected)} containers answered", flush=True)
    return 0 if missing is None else 1


def show(outputs: dict[str, Any], seconds: float) -> int:
    """Print the table and a 200 of each service, fetched through the edge."""
    edge = outputs["edge"]["address"]
    bodies = {
        service["url"]: web.await_ok(edge, service["url"], seconds)
        for service in outputs["services"].values()
    }
    status(outputs)
    for url, body in bodies.items():
        first = body.strip().splitlines()[:1]
        print(f"GET {url} through the edge at {edge}: 200 {' '.join(first)}", flush=True)
    return 0


def docker_answers(outputs: dict[str, Any], seconds: float) -> int:
    """End with 0 once the Docker of every VM answers, and with 1 if one does not in time."""
    missing = {vm: value["address"] for vm, value in outputs["vms"].items()}
    deadline = time.monotonic() + seconds
    while True:
        for vm, address in list(missing.items()):
            if live.ask_docker(vm, address, KEYS) is not None:
                del missing[vm]
        if not missing:
            return 0
        if time.monotonic() > deadline:
            return 1
        time.sleep(1)


def main(arguments: list[str]) -> int:
    """Run one of the questions."""
    what, seconds = arguments[0], float(arguments[1])
    outputs = json.load(sys.stdin)
    try:
        if what == "status":
            return status(outputs)
        questions = {"smoke": smoke, "show": show, "docker-answers": docker_answers}
        return questions[what](outputs, seconds)
    except web.WebError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
