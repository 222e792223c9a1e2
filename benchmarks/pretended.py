"""Applies a program with nothing behind it: ``python -m benchmarks.pretended FOLDER``.

With the lab engine, its schemas and its state file, but with handlers that make nothing. What it
leaves is the state of a stack of any size, of which a preview then finds nothing to change, and for
which it asks nobody.
"""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import sites
from benchmarks.mocked import outputs
from lab.engine.deployment import Deployment
from lab.engine.display import Display
from lab.engine.errors import EngineError
from lab.engine.handler import Call, Catalogue, Connections, FixedHandler, Made
from lab.engine.ledger import Ledger
from lab.engine.model import Resource
from lab.engine.monitor import EngineLog, LabMonitor
from lab.engine.program import project_name, run_program, stack_config
from lab.engine.providers import CATALOGUE
from lab.engine.schema import Schema
from lab.engine.state import State, StateFile

STACK = "bench"


class Nowhere:
    """A connection to nothing."""

    def close(self) -> None:
        """Nothing is open."""


class Pretended(FixedHandler[Nowhere]):
    """A resource type of which nothing is made."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def create(self, connection: Nowhere, call: Call) -> Made:  # noqa: ARG002
        """Answer as if it had been made."""
        return Made(f"{call.name}-id", outputs(self.schema.type, call.name))

    def delete(self, connection: Nowhere, call: Call, old: Resource) -> None:
        """Do nothing."""

    def read(self, connection: Nowhere, resources: Sequence[Resource]) -> list[Resource | None]:  # noqa: ARG002
        """Return them as they are in the state."""
        return list(resources)

    def find(self, connection: Nowhere, resource: Resource) -> Resource | None:  # noqa: ARG002
        """Return None: nothing is left of a creation."""
        return None


PRETENDED = Catalogue(
    [
        dataclasses.replace(
            package,
            connect=lambda _: Nowhere(),
            handlers=[Pretended(handler.schema) for handler in package.handlers],
        )
        for package in CATALOGUE.packages.values()
    ]
)


def project(folder: Path, program: Path | None, config: dict[str, Any]) -> None:
    """Lay a project out in an empty folder, so that what a run writes is there.

    Args:
        folder: Where.
        program: The ``__main__.py``; None for an empty program.
        config: Of the stack, without the prefix of its keys.
    """
    (folder / "Pulumi.yaml").write_text((sites.PROJECT / "Pulumi.yaml").read_text())
    prefixed = {f"gatehouse:{key}": value for key, value in config.items()}
    # JSON is YAML.
    (folder / f"Pulumi.{STACK}.yaml").write_text(json.dumps({"config": prefixed}))
    if program is None:
        (folder / "__main__.py").write_text("import pulumi\n")
        return
    (folder / "__main__.py").symlink_to(program)
    (folder / "components").symlink_to(program.parent / "components")


class LateStateFile(StateFile):
    """A state file that is written once, at the end: nothing is made that could be forgotten."""

    last = State()

    def save(self, state: State) -> None:
        """Keep it for the end."""
        self.last = state

    def write(self) -> None:
        """Write what was kept."""
        super().save(self.last)


def up(folder: Path) -> int:
    """Apply the project in a folder, and return how many resources its state has then.

    Raises:
        EngineError: It failed; the text is what the engine printed.
        ProgramError: The program failed by itself.
    """
    printed = io.StringIO()
    display = Display(printed)
    file = LateStateFile(folder / "state")
    deployment = Deployment(
        Ledger(file, read_only=False), PRETENDED, Connections(PRETENDED), display
    )
    name = project_name(folder)
    try:
        run_program(
            folder,
            project=name,
            stack=STACK,
            config=stack_config(folder / f"Pulumi.{STACK}.yaml", name),
            monitor=LabMonitor(deployment),
            log=EngineLog(display),
            preview=False,
        )
        deployment.finish()
    except EngineError as error:
        raise EngineError(f"{error}\n{printed.getvalue()}") from error
    file.write()
    return len(file.last.resources)


if __name__ == "__main__":
    print(up(Path(sys.argv[1]).resolve()))
