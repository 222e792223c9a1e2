"""When Pulumi began and finished each resource of an `up`, from the lines it prints."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

# `+  libvirt:index:Domain web-0-domain creating (0s)`
_LINE = re.compile(r"^\s*\+\s+\S+:\S+ (?P<name>\S+) (?P<what>creating|created)\b")

Moments = Mapping[str, Sequence[float]]
"""By resource: when Pulumi began and finished it, in seconds since the start of the `up`."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One part of an `up`, in s."""

    name: str
    seconds: float


def moments(lines: Iterable[tuple[float, str]]) -> dict[str, list[float]]:
    """Return when the resources were begun and made, of those that were made.

    Args:
        lines: What Pulumi printed, each line with when it came, in s.
    """
    begun: dict[str, float] = {}
    made: dict[str, list[float]] = {}
    for seconds, text in lines:
        found = _LINE.match(text)
        if found is None:
            continue
        if found["what"] == "creating":
            begun.setdefault(found["name"], seconds)
        else:
            made[found["name"]] = [begun.get(found["name"], seconds), seconds]
    return made


def stages(moments: Moments, vm: str, docker_seconds: float, answer_seconds: float) -> list[Stage]:
    """Return how the time from nothing to the first answer is made up.

    Args:
        moments: The moments of an `up` with one VM.
        vm: Its name.
        docker_seconds: How long Docker's own start took in it.
        answer_seconds: When the edge first answered with 200.

    Raises:
        KeyError: The VM or the edge was not made.
    """
    domain, ready, edge = moments[f"{vm}-domain"], moments[f"{vm}-boot"], moments["edge-haproxy"]
    return [
        Stage(name="image", seconds=domain[0]),
        Stage(name="boot", seconds=ready[1] - domain[0] - docker_seconds),
        Stage(name="Docker", seconds=docker_seconds),
        Stage(name="containers", seconds=edge[0] - ready[1]),
        Stage(name="edge", seconds=max(answer_seconds, edge[1]) - edge[0]),
    ]
