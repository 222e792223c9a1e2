"""Part of the benchmarks that is still to be written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.chapters import Chapter

NAME = "engine"


def measure(*, quick: bool) -> dict[str, Any]:
    """Measure nothing yet."""
    return {"quick": quick}


def chapter(raw: Mapping[str, Any]) -> Chapter:
    """Return an empty chapter."""
    return Chapter(title=NAME, text=f"Nothing yet ({len(raw)}).")
