"""Whole rendered files beside the tests, compared as a reviewer would: as text."""

import os
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "unit" / "golden"


def check(name: str, text: str) -> None:
    """Compare with the golden file; ``GOLDEN=write`` writes it instead, for review in the diff."""
    path = FOLDER / name
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs; run with GOLDEN=write and review its diff"
