"""Which Pulumi CLI applies the program in a lab: one that is installed, or one that the lab builds.

An installed one is used if it has the version of the SDK in requirements.txt, or a newer one with
the same major number. Otherwise the lab builds one, once, from Pulumi's Go module, and keeps it
beside its images.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.images.cache import CACHE
from lab.pulumi import build

_VERSION_SECONDS = 60.0

Version = tuple[int, ...]


class CliError(Exception):
    """A Pulumi CLI is missing and cannot be built; the text says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Cli:
    """A Pulumi CLI."""

    path: Path
    version: str
    """As in ``3.260.0``."""
    reason: str
    """The reason for this choice."""

    def __str__(self) -> str:
        """Return the CLI's description in the output of `make up`."""
        return f"Pulumi {self.version} ({self.reason})"


def wanted() -> str:
    """Return the version of the SDK, which is the oldest that the CLI may have."""
    return importlib.metadata.version("pulumi")


def find(folder: Path | None = None) -> Cli | None:
    """Return the CLI to use, if one is installed or has been built.

    Args:
        folder: The cache for the lab's builds; the lab's own by default.
    """
    installed = shutil.which("pulumi")
    if installed:
        version = version_of(Path(installed))
        if version is not None and suffices(version, wanted()):
            return Cli(path=Path(installed), version=version, reason=f"{installed} is installed")
    built = build.path(folder or CACHE)
    if not built.is_file():
        return None
    why = "the lab's own build: none is on PATH"
    if installed:
        why = f"the lab's own build: {installed} is not {wanted()} or newer"
    return Cli(path=built, version=build.version(), reason=why)


@functools.cache  # it takes half a second
def version_of(cli: Path) -> str | None:
    """Return the version that a CLI reports, without the `v`; None if it does not run."""
    try:
        done = subprocess.run(
            (str(cli), "version"),
            env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_VERSION_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.fullmatch(r"v?(\d+\.\d+\.\d+\S*)", done.stdout.strip())
    return found[1] if found and done.returncode == 0 else None


def suffices(have: str, want: str) -> bool:
    """Return whether a version is `want` or newer, with the same major number."""
    return _numbers(have)[:1] == _numbers(want)[:1] and _numbers(have) >= _numbers(want)


def _numbers(version: str) -> Version:
    return tuple(int(each) for each in re.findall(r"\d+", version.partition("-")[0])[:3])


@contextmanager
def being_built() -> Iterator[None]:
    """Build the CLI while the block runs, unless there is one; return when both are done.

    The block's work (packages, disk images) mostly waits for the network. When the block
    raises, or this process ends, the build is stopped.

    Raises:
        CliError: It could not be built; the builder has printed the reason.
    """
    if find() is not None:
        yield
        return
    with subprocess.Popen(
        ("setpriv", "--pdeathsig", "TERM", "--", sys.executable, "-m", "lab.pulumi.build"),
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
    ) as builder:
        try:
            yield
            code = builder.wait()
        except BaseException:
            builder.terminate()
            raise
    if code != 0:
        raise CliError("the Pulumi CLI could not be built, see above: fix that, or install the CLI")


def ready() -> Cli:
    """Return the CLI to use.

    Raises:
        CliError: There is none.
    """
    found = find()
    if found is None:
        raise CliError(f"there is no Pulumi CLI {wanted()} or newer: run `make up`, or install it")
    return found
