"""The two engines that can apply the program in a lab, and which one it is to be."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lab import pulumi_cli

_MODULES = {"pulumi": "lab.pulumi_cli", "lab": "lab.engine"}


class EngineUnavailable(Exception):  # noqa: N818 - what it is
    """The engine that was asked for is not here; the text says what is missing."""


class Enter(Protocol):
    """Runs a program where the stack's hypervisor is: `Datacentre.enter`, or `subprocess.run`."""

    def __call__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        capture: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """An engine on one stack. Each operation prints what it does and returns its exit code."""

    name: str
    """`pulumi` or `lab`."""
    reason: str
    """Why it is this one."""
    enter: Enter
    stack: str
    project: Path
    config_file: Path
    folder: Path
    """Where it keeps the stack's state; each engine has a folder of its own below."""

    def preview(self) -> int:
        """Tell what `up` would do, and touch nothing."""
        return self._run("preview").returncode

    def up(self, *, refresh: bool = False) -> int:
        """Make what exists what the program says.

        Args:
            refresh: Read what really exists first.
        """
        return self._run("up", *(["--refresh"] if refresh else [])).returncode

    def refresh(self, *, target_types: Sequence[str] = ()) -> int:
        """Bring the state in line with what exists.

        Args:
            target_types: Only of resources of these types, with `*` wildcards.
        """
        options = [option for each in target_types for option in ("--target-type", each)]
        return self._run("refresh", *options).returncode

    def destroy(self) -> int:
        """Delete everything, data too: a lab is disposable."""
        return self._run("destroy", "--ignore-protect").returncode

    def outputs(self, *, show_secrets: bool = False) -> dict[str, Any]:
        """Return what the program exported; nothing if it was never applied.

        Raises:
            EngineUnavailable: The engine cannot tell.
        """
        told = self._run("outputs", *(["--show-secrets"] if show_secrets else []), capture=True)
        if told.returncode != 0:
            raise EngineUnavailable(
                f"the {self.name} engine cannot tell the stack's outputs:\n"
                f"{told.stdout}{told.stderr}".strip()
            )
        outputs: dict[str, Any] = json.loads(told.stdout)
        return outputs

    def _run(
        self, operation: str, *options: str, capture: bool = False
    ) -> subprocess.CompletedProcess[str]:
        return self.enter(
            (
                *(sys.executable, "-m", _MODULES[self.name], operation, "--stack", self.stack),
                *("--project", str(self.project), "--config-file", str(self.config_file)),
                *("--state", str(self.folder / self.name), *options),
            ),
            cwd=self.project,
            capture=capture,
        )


def choose(requested: str) -> tuple[str, str]:
    """Return the name of the engine to use, and why.

    Args:
        requested: `pulumi`, `lab`, or `auto`, which is the Pulumi CLI wherever it can be had.

    Raises:
        EngineUnavailable: The Pulumi CLI was asked for and is not all here.
    """
    if requested == "lab":
        return "lab", "it was asked for"
    cli = shutil.which("pulumi")
    missing = pulumi_cli.missing_plugins() if cli else []
    if cli and not missing:
        why = "it was asked for" if requested == "pulumi" else f"{cli} and its plugins are here"
        return "pulumi", why
    lack = (
        "the Pulumi CLI is not on PATH"
        if cli is None
        else f"the Pulumi CLI has not got, and cannot fetch, the plugins {', '.join(missing)}"
    )
    if requested == "pulumi":
        raise EngineUnavailable(f"{lack}: install them, or use the lab engine with ENGINE=lab")
    return "lab", lack
