"""Progress lines for the long steps of the lab: what runs, and how long it took."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


@contextmanager
def step(title: str, stream: TextIO | None = None, done: str = "done") -> Iterator[None]:
    """Print `==> title`, and `    done in 12 s` when the block ends.

    `done` replaces the word, for a step whose lines may mix with another step's.

    If the block raises, the last line is `    failed after 12 s`, and the exception propagates.
    The lines go to `stream`, by default standard error, which leaves standard output for results.
    """
    out = stream or sys.stderr
    print(f"==> {title}", file=out, flush=True)
    began = time.monotonic()
    try:
        yield
    except BaseException:
        print(f"    failed after {duration(time.monotonic() - began)}", file=out, flush=True)
        raise
    print(f"    {done} in {duration(time.monotonic() - began)}", file=out, flush=True)


def note(text: str, stream: TextIO | None = None) -> None:
    """Print one indented line that belongs to the current step, on standard error by default."""
    print(f"    {text}", file=stream or sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """A time span for people: `0.4 s`, `12 s` from ten seconds, `3 min 5 s` from two minutes."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s"
