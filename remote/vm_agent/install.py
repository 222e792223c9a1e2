"""Putting this program in its place on the VM."""

import os
from pathlib import Path


def install(program: bytes, file: Path) -> None:
    """Have ``file`` be the program, whole or not at all.

    Raises:
        OSError: It is as it was.
    """
    part = file.with_name(f"{file.name}.part")
    try:
        with part.open("wb") as opened:
            opened.write(program)
            opened.flush()
            os.fsync(opened.fileno())
        part.replace(file)
    except OSError:
        part.unlink(missing_ok=True)  # what there is of it takes space too
        raise
