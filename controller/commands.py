"""Run other programs without a prompt and with a time limit."""

import subprocess


def run(*command: str, seconds: float) -> "subprocess.CompletedProcess[str]":
    """Run a command; its exit code is for the caller to see. Nothing is typed into it.

    Raises:
        subprocess.TimeoutExpired: It takes longer.
    """
    return subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
    )
