"""Part of the benchmarks: requests through the edge, beside what could stand in its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks import datapath_chapter
from benchmarks.chapters import Chapter
from benchmarks.path import measuring

NAME = "datapath"


def measure(*, quick: bool) -> dict[str, Any]:
    """Load the application, Apache, nginx, Traefik, and both tiers, in turns, on loopback."""
    return measuring.raw(measuring.QUICK if quick else measuring.FULL)


def chapter(raw: Mapping[str, Any]) -> Chapter:
    """Return what raw data says."""
    return datapath_chapter.chapter(raw)
