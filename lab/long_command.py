"""Runs long commands with a time limit, and shows the last lines of one that fails."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

LAST_LINES = 15


class LongCommandError(Exception):
    """A command failed or took too long; the text has the command and its last lines."""


def run(
    command: Sequence[str],
    *,
    seconds: float,
    folder: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
) -> None:
    """Run a command to its end, silently unless it fails.

    Args:
        command: The program and its arguments.
        seconds: The time limit. The program is killed after it, but not its children.
        folder: The working directory; that of this process by default.
        env: The environment; that of this process by default.
        stdin: What the command reads from its standard input.

    Raises:
        LongCommandError: The command exits with another code than 0, or exceeds its time limit.
    """
    # Into a file: a leftover child would keep a pipe open, and this would wait for it.
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(
                command,
                check=False,
                cwd=folder,
                env=env,
                input=stdin.encode(),
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=seconds,
            )
            problem = f"exit code {done.returncode}" if done.returncode != 0 else ""
        except subprocess.TimeoutExpired:
            problem = f"not done after {seconds:g} s"
        if problem:
            output.seek(0)
            raise LongCommandError(f"{' '.join(command)}: {problem}{_last_lines(output.read())}")


def _last_lines(output: bytes) -> str:
    lines = output.decode(errors="replace").splitlines()[-LAST_LINES:]
    if not lines:
        return ", without any output"
    return "; its last lines:\n" + "\n".join(f"  {line}" for line in lines)
