"""Measures the data path: starts the fronts, loads them in turns, and ends them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.path import apache, nginx, tiers
from benchmarks.path.application import SIZES, SMALL, Application, LoopbackServer, prepared
from benchmarks.path.figures import Cell, in_turns
from benchmarks.path.front import Front, FrontCertificate
from benchmarks.path.load_tools import KEPT, NEW, load
from benchmarks.path.variations import VARIATIONS

DIRECT = "the application itself"
_FRONTS = (apache.apache, nginx.nginx, tiers.alone, tiers.both)
_WARM_UP_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """The extent of the measurements."""

    seconds: float
    """Of each run."""
    repetitions: int
    loads: dict[int, tuple[tuple[str, str], ...]]
    """Connections and sizes, by the number of backends."""
    vms: tuple[int, ...]
    """How many, each of which answers a limited number of requests."""
    variations: tuple[str, ...]
    """Their names."""
    variation_seconds: float
    """Of each run of theirs: they are many."""


_ALL = tuple((connections, size) for connections in (KEPT, NEW) for size in SIZES)
FULL = Sampling(
    seconds=2,
    repetitions=5,
    # The costliest handshakes beside the largest answers say nothing more with several backends.
    loads={1: _ALL, 2: _ALL[:3], 4: _ALL[:3]},
    vms=(1, 2, 4, 8),
    variations=tuple(each.name for each in VARIATIONS),
    variation_seconds=1,
)
QUICK = Sampling(
    seconds=1,
    repetitions=1,
    loads={1: _ALL[:3], 2: _ALL[:1]},
    vms=(1, 2),
    variations=tuple(each.name for each in VARIATIONS[:2]),
    variation_seconds=1,
)


class Rig:
    """An application, and a folder for the fronts."""

    def __init__(self, folder: Path, certificate: FrontCertificate, app: Application) -> None:
        self._folder, self._certificate, self._app = folder, certificate, app
        self._folders = 0

    def folder(self) -> Path:
        """Return an empty folder that every user can enter."""
        self._folders += 1
        made = self._folder / str(self._folders)
        made.mkdir(mode=0o755)
        return made

    def matrix(self, plan: Sampling) -> list[Cell]:
        """Measure all fronts with all loads, for each number of backends."""
        return [
            cell
            for backends, loads in plan.loads.items()
            for cell in self._fronts(plan, backends, loads)
        ]

    def _fronts(
        self, plan: Sampling, backends: int, loads: Sequence[tuple[str, str]]
    ) -> Iterator[Cell]:
        with contextlib.ExitStack() as ends:
            fronts = [
                ends.enter_context(
                    start(self.folder(), self._certificate, self._app.containers[:backends])
                )
                for start in _FRONTS
            ]
            if backends == 1:
                tuned = apache.apache(
                    self.folder(), self._certificate, self._app.containers[:1], apache.TUNED
                )
                fronts.insert(1, replace(ends.enter_context(tuned), name="Apache, tuned"))
                direct = {"the application": (self._app.pid,)}
                fronts.insert(0, Front(name=DIRECT, port=self._app.port, tiers=direct))
            yield from _measured(plan, fronts, backends, loads)

    def growing(self, plan: Sampling) -> list[Cell]:
        """Measure both tiers with more and more VMs that answer a limited number of requests."""
        cells = []
        for count in plan.vms:
            with self._both(self._app.limited[:count]) as each:
                cells += _measured(plan, [each], count, ((KEPT, SMALL),))
        return cells

    def varied(self, plan: Sampling) -> list[Cell]:
        """Measure both tiers otherwise than deployed; the front's name is the variation's."""
        with contextlib.ExitStack() as ends:
            fronts = [
                replace(
                    ends.enter_context(self._both(self._app.containers[:1], each.otherwise)),
                    name=each.name,
                )
                for each in VARIATIONS
                if each.name in plan.variations
            ]
            shorter = replace(plan, seconds=plan.variation_seconds)
            return _measured(shorter, fronts, 1, ((KEPT, SMALL),))

    def _both(
        self, containers: Sequence[LoopbackServer], otherwise: tiers.Otherwise | None = None
    ) -> contextlib.AbstractContextManager[Front]:
        return tiers.both(self.folder(), self._certificate, containers, otherwise)


@contextlib.contextmanager
def bench() -> Iterator[Rig]:
    """Yield what measures; all that it has started ends with it."""
    with prepared("path") as made:
        yield Rig(made.folder, made.certificate, made.app)


def raw(plan: Sampling) -> dict[str, Any]:
    """Return what a plan gives, as JSON can hold it."""
    with bench() as made:
        return {
            "seconds_of_a_run": plan.seconds,
            "cells": [cell.raw for cell in made.matrix(plan)],
            "variations": [cell.raw for cell in made.varied(plan)],
            "vms": [cell.raw for cell in made.growing(plan)],
        }


def _measured(
    plan: Sampling, fronts: Sequence[Front], backends: int, loads: Sequence[tuple[str, str]]
) -> list[Cell]:
    for each in fronts:
        load(each, KEPT, SMALL, min(plan.seconds, _WARM_UP_SECONDS))
    turns = [
        (
            Cell(front=each.name, backends=backends, connections=connections, size=size),
            partial(load, each, connections, size, plan.seconds),
        )
        for connections, size in loads
        for each in fronts
    ]
    in_turns(turns, plan.repetitions)
    return [cell for cell, _ in turns]
