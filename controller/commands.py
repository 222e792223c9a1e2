"""Run other programs without a prompt and with a time limit."""

import subprocess


def run(*command: str, seconds: float) -> "subprocess.CompletedProcess[str]":
    """Run a command without standard input; the caller checks its exit code.

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
