"""Measures and writes the document: ``python -m benchmarks [--quick] [--only program,engine]``."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import datapath, engine, growth, host_info, program, serving
from benchmarks.chapters import Part
from benchmarks.document import FOLDER, PartResults, document

PARTS: Mapping[str, Part] = {
    part.NAME: part
    for part in (
        program,
        engine,
        serving,
        datapath,
        growth,
    )
}
"""In the order of the document."""
DOCS = Path(__file__).parents[1] / "docs"


def main(arguments: Sequence[str]) -> int:
    """Measure the requested parts, and write the document from all existing results."""
    args = _parser().parse_args(arguments)
    out: Path = args.out or (
        Path(tempfile.mkdtemp(prefix="gatehouse-bench-")) if args.quick else DOCS
    )
    if not args.document_only:
        for name in args.only:
            measure(PARTS[name], out, quick=args.quick)
    print(f"bench: {write(out)}", flush=True)
    return 0


def measure(part: Part, out: Path, *, quick: bool) -> None:
    """Measure one part and replace its raw data."""
    print(f"bench: {part.NAME} …", flush=True)
    began = time.monotonic()
    measured = PartResults(
        part=part.NAME,
        date=datetime.now(UTC).date().isoformat(),
        quick=quick,
        machine=host_info.described(),
        raw=part.measure(quick=quick),
    )
    file = out / FOLDER / f"{part.NAME}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(asdict(measured), indent=1) + "\n")
    print(f"bench: {part.NAME} took {time.monotonic() - began:.0f} s", flush=True)


def write(out: Path) -> Path:
    """Write the document and its plots from the raw files in a folder, and return its path."""
    from benchmarks import plots  # matplotlib takes longer to import than all the rest

    parts = []
    for name, part in PARTS.items():
        file = out / FOLDER / f"{name}.json"
        if file.exists():
            measured = PartResults(**json.loads(file.read_text()))
            parts.append((measured, part.chapter(measured.raw)))
    for _, chapter in parts:
        for plot in chapter.plots:
            plots.draw(plot, out / FOLDER)
    path = out / "benchmarks.md"
    path.write_text(document(parts))
    return path


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in PARTS:
            raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(PARTS)}")
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under 5 minutes; no real figures")
    parser.add_argument("--only", type=_names, default=tuple(PARTS), help="parts, with commas")
    parser.add_argument(
        "--out", type=Path, help="a folder; docs, or one in the temporary folder if it is quick"
    )
    parser.add_argument(
        "--document-only", action="store_true", help="write it from raw data that is there"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
