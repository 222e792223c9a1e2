"""A lab's stack as the lab's commands see it: each operation is a process inside the lab."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lab.pulumi import state_file, tools
from lab.pulumi.cli import Cli
from lab.pulumi.errors import StackError
from lab.pulumi.project import project_name

FOLDER = "stack"
"""A stack's folder, below its lab's."""
_KEPT = "providers"
"""The file in it with the name of the providers that have applied it."""


class Enter(Protocol):
    """Runs a program beside the stack's hypervisor: `Datacentre.enter`, or `subprocess.run`."""

    def __call__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""


@dataclass(frozen=True, kw_only=True)
class LabStack:
    """A stack. Each operation prints what it does and returns its exit code."""

    enter: Enter
    name: str
    project: Path
    folder: Path
    """The folder of all files of the stack that are not in the project."""

    def providers(self, requested: str, cli: Cli) -> tools.Providers:
        """Return the providers to use: those that have applied the stack, if any have.

        Raises:
            StackError: Other providers were requested.
            ProvidersError: They are not available.
        """
        kept = self.applied_with()
        if kept is None:
            return tools.choose(requested, cli)
        if requested not in ("auto", kept):
            raise StackError(
                f"PROVIDERS={requested}: this lab was applied with PROVIDERS={kept}, whose state"
                " other providers cannot use: run `make down` first"
            )
        found = tools.choose(kept, cli)
        return tools.Providers(
            name=found.name, reason="this lab was applied with them", folder=found.folder
        )

    def applied_with(self) -> str | None:
        """Return the name of the providers that have applied the stack; None if none have."""
        try:
            return (self.folder / _KEPT).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None

    def lay_out(self, cli: Cli, providers: tools.Providers) -> None:
        """Put the CLI and the providers in place."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        tools.lay_out(self.folder, cli, providers)

    def keep(self, providers: tools.Providers) -> None:
        """Record the providers that are about to apply the stack."""
        (self.folder / _KEPT).write_text(f"{providers.name}\n", encoding="utf-8")

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which ``pulumi`` is the CLI on this stack's backend."""
        return tools.environment(self.folder, os.environ)

    def preview(self, config_file: Path) -> int:
        """Show what `up` would do, and change nothing."""
        return self._run("preview", *_config(config_file)).returncode

    def up(self, config_file: Path, *, refresh: bool = False) -> int:
        """Apply the program.

        Args:
            config_file: The stack's config.
            refresh: Read the existing resources first.
        """
        options = ["--refresh"] if refresh else []
        if self.applied_with() != tools.STAND_INS:
            options.append("--refresh-apart")
        return self._run("up", *_config(config_file), *options).returncode

    def refresh(self, config_file: Path, *, target_types: Sequence[str] = ()) -> int:
        """Refresh the state from the existing resources.

        Args:
            config_file: The stack's config.
            target_types: Only of resources of these types, with `*` wildcards.
        """
        options = [option for each in target_types for option in ("--target-type", each)]
        return self._run("refresh", *_config(config_file), *options).returncode

    def destroy(self, config_file: Path) -> int:
        """Delete everything, data too: a lab is disposable."""
        return self._run("destroy", *_config(config_file), "--ignore-protect").returncode

    def outputs(self) -> dict[str, Any]:
        """Return the program's outputs, without secrets; none if it was never applied.

        Raises:
            StackError: The state cannot be read.
        """
        place = state_file.path(self.folder / "backend", project_name(self.project), self.name)
        try:
            return state_file.outputs(state_file.read(place))
        except (OSError, ValueError) as error:
            raise StackError(str(error)) from error

    def _run(self, operation: str, *options: str) -> subprocess.CompletedProcess[str]:
        return self.enter(
            (
                *(sys.executable, "-m", "lab.pulumi.operations", operation),
                *("--stack", self.name, "--project", str(self.project)),
                *("--state", str(self.folder), *options),
            ),
            cwd=self.project,
        )


def _config(file: Path) -> tuple[str, str]:
    return "--config-file", str(file)
