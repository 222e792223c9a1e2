"""Python programs that run where only ``python3`` is known to be, sent along as text."""

import shlex
from pathlib import Path


def python_command(program: str | Path, *arguments: str) -> str:
    """Return the shell command that runs the program in the file ``program`` with ``arguments``.

    The program goes into the command line, so that its standard input stays free.
    """
    source = Path(program).read_text(encoding="utf-8")
    return shlex.join(("python3", "-c", source, *arguments))
