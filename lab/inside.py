"""Questions asked inside the lab: ``python -m lab.inside QUESTION STACK SECONDS``.

QUESTION is status, smoke, show, facts or docker-answers. Takes the stack's outputs as JSON on
standard input. SECONDS is how long it may take to become true.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.key_files import key_folder
from lab import live, web
from lab.edge_access import EdgeHost


@dataclass(frozen=True, kw_only=True)
class Inside:
    """The questions about one stack; each prints its answer and returns an exit code."""

    stack: str
    seconds: float
    outputs: dict[str, Any]

    def status(self) -> int:
        """Print the tables."""
        stats = self._edge.ask("show stat")
        print(live.status(self.outputs, self._containers(), stats), flush=True)
        known = self._edge.certificates_status()
        if known is not None:
            print(live.certificates(known, time.time()), flush=True)
        return 0

    def smoke(self) -> int:
        """Print which containers answered; return 1 if any did not."""
        answered, expected = web.smoke(self.outputs, self.seconds, self._certificates)
        missing = web.missing_line(answered, expected)
        if missing is not None:
            print(missing)
        containers = {name for name in expected if not name.startswith(web.TCP)}
        print(
            f"smoke: {len(answered & containers)}/{len(containers)} containers answered", flush=True
        )
        return 0 if missing is None else 1

    def show(self) -> int:
        """Print the table and each service's answer, fetched through the edge."""
        edge = self.outputs["edge"]["address"]
        urls = [service["url"] for service in self.outputs["services"].values()]
        tcp = [url for url in urls if url.startswith(web.TCP)]
        answers = {
            url: web.await_ok(edge, url, self.seconds, self._certificates)
            for url in urls
            if url not in tcp
        }
        for url in tcp:
            web.await_taken(url, self.seconds)
        self.status()
        for url in tcp:
            print(f"{url} takes connections", flush=True)
        for url, (status, body) in answers.items():
            first = body.strip().splitlines()[:1] if status == 200 else ["login required"]
            print(f"GET {url} through the edge at {edge}: {status} {' '.join(first)}", flush=True)
        return 0

    def facts(self) -> int:
        """Print, as JSON, the id of each running container by slot and the edge's process."""
        found = {
            slot: container.id
            for containers in self._containers().values()
            for slot, container in (containers or {}).items()
            if container.state == "running"
        }
        print(json.dumps({"containers": found, "edge": self._edge.process("master")}))
        return 0

    def docker_answers(self) -> int:
        """Return 0 once the Docker of every VM answers, or 1 if one does not in time."""
        deadline = time.monotonic() + self.seconds
        while None in self._containers().values():
            if time.monotonic() > deadline:
                return 1
            time.sleep(1)
        return 0

    @property
    def _edge(self) -> EdgeHost:
        return EdgeHost.of(self.stack, self.outputs)

    @property
    def _certificates(self) -> Path:
        return self._edge.certificates()

    def _containers(self) -> dict[str, dict[str, live.LiveContainer] | None]:
        addresses = {vm: value["address"] for vm, value in self.outputs["vms"].items()}
        return live.ask_all(addresses, key_folder(self.stack))


def main(arguments: list[str]) -> int:
    """Run one of the questions."""
    what, stack, seconds = arguments
    inside = Inside(stack=stack, seconds=float(seconds), outputs=json.load(sys.stdin))
    questions = {
        "status": inside.status,
        "smoke": inside.smoke,
        "show": inside.show,
        "facts": inside.facts,
        "docker-answers": inside.docker_answers,
    }
    try:
        return questions[what]()
    except web.WebError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
