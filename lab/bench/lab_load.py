"""The load generator, running inside a lab."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from typing import Any

from lab.commands import PROJECT
from lab.datacentre import Datacentre

BODY = r"hello-web-[0-9]+-[0-9]+\n"
LAST_ANSWER_SECONDS = 60.0
"""Seconds: a request times out after 10, its body takes 2; the rest is for a busy machine."""


class LoadTrouble(Exception):  # noqa: N818 - what it is
    """The load generator failed; the text says how it ended."""


class LabLoad:
    """A running load generator, from construction on."""

    def __init__(
        self,
        datacentre: Datacentre,
        *,
        target: str,
        host: str,
        rate: float,
        section: str,
        most_requests: int,
        trusted: str | None = None,
    ) -> None:
        self._process: subprocess.Popen[bytes] = datacentre.popen(
            [
                *(sys.executable, "-m", "lab.load", "--target", target, "--host", host),
                *("--rate", str(rate), "--section", section, "--body", BODY),
                *("--most-requests", str(most_requests)),
                *(("--trust", trusted) if trusted is not None else ()),
            ],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def go_on(self, seconds: float) -> None:
        """Let it run for a time.

        Raises:
            LoadTrouble: It ended meanwhile.
        """
        if self._process.stdout and select.select([self._process.stdout], [], [], seconds)[0]:
            raise LoadTrouble(f"the load ended too early: {self._rest()[-300:]!r}")

    def finish(self) -> dict[str, Any]:
        """End it, and return its result once the last request is over.

        Raises:
            LoadTrouble: It has no result, or had reached its limit before.
        """
        text = self._rest()
        try:
            result: dict[str, Any] = json.loads(text)
        except ValueError:
            raise LoadTrouble(
                f"the load generator ended with code {self._process.returncode} and no result"
            ) from None
        if result["ended"] != "stopped":
            raise LoadTrouble(f"the load ended before the scenario did: {result['ended']}")
        return result

    def kill(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()

    def _rest(self) -> bytes:
        try:
            return self._process.communicate(timeout=LAST_ANSWER_SECONDS)[0]
        except subprocess.TimeoutExpired:
            self.kill()
            raise LoadTrouble(f"the load did not end within {LAST_ANSWER_SECONDS:.0f} s") from None
