"""Providers that create nothing: ``python -m benchmarks.pretended pulumi-resource-NAME [ENGINE]``.

The lab's stand-ins, with their schemas, but with handlers that answer as if all had been made. What
an `up` with them leaves is the state of a stack of any size, of which a preview with the stand-ins
themselves then finds nothing to change, and for which they ask nobody.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml

from benchmarks import sites
from benchmarks.mocked import outputs
from lab.providers import VERSIONS, package
from lab.providers.handler import Call, Created, FixedHandler, Package, Resource
from lab.providers.schema import Schema
from lab.providers.serve import PREFIX, serve_package
from lab.pulumi import tools
from lab.pulumi.cli import Cli
from lab.pulumi.operations import PulumiCli

STACK = "bench"


class NullConnection:
    """A connection to nothing."""

    def cancel(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class Pretended(FixedHandler[NullConnection]):
    """A resource type that creates nothing."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def create(self, connection: NullConnection, call: Call) -> Created:  # noqa: ARG002 - it is to nothing
        """Answer as if the resource existed."""
        return Created(f"{call.name}-id", outputs(self.schema.type, call.name))

    def delete(self, connection: NullConnection, call: Call, old: Resource) -> None:
        """Do nothing."""

    def read(self, connection: NullConnection, resource: Resource) -> Resource | None:  # noqa: ARG002 - it is to nothing
        """Return it as it is in the state."""
        return resource


def pretending(real: Package) -> Package:
    """Return a package whose handlers create nothing."""
    return dataclasses.replace(
        real,
        connect=lambda _: NullConnection(),
        handlers=[Pretended(handler.schema) for handler in real.handlers],
    )


def project(folder: Path, program: Path | None, config: dict[str, Any]) -> None:
    """Lay a project out in an empty folder, so that what a run writes is there.

    Args:
        folder: Where.
        program: The ``__main__.py``; None for an empty program.
        config: Of the stack, without the prefix of its keys.
    """
    described = yaml.safe_load((sites.PROJECT / "Pulumi.yaml").read_text())
    described["runtime"]["options"]["virtualenv"] = sys.prefix
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump(described))
    prefixed = {f"gatehouse:{key}": value for key, value in config.items()}
    # JSON is YAML.
    (folder / f"Pulumi.{STACK}.yaml").write_text(json.dumps({"config": prefixed}))
    if program is None:
        (folder / "__main__.py").write_text("import pulumi\n")
        return
    (folder / "__main__.py").symlink_to(program)
    for name in ("components", "controller", "remote"):
        (folder / name).symlink_to(program.parent / name)


def stack(folder: Path) -> PulumiCli:
    """Return the CLI on the stack of a project's folder."""
    return PulumiCli(
        stack=STACK,
        project=folder,
        config_file=folder / f"Pulumi.{STACK}.yaml",
        folder=folder / "stack",
    )


def applied(folder: Path, cli: Cli) -> int:
    """Apply the project in a folder, and return how many resources its state has then.

    What is in place afterwards are the lab's stand-ins.

    Raises:
        RuntimeError: It failed; what the CLI has printed says why.
    """
    made = stack(folder)
    made.folder.mkdir(mode=0o700)
    providers = tools.Providers(name=tools.STAND_INS, reason="a benchmark")
    tools.lay_out(made.folder, cli, providers)
    for name in VERSIONS:
        place = made.folder / "home" / "plugins" / tools.plugin(name) / f"{PREFIX}{name}"
        words = shlex.join((sys.executable, "-m", "benchmarks.pretended", place.name))
        path = shlex.quote(str(sites.PROJECT))
        place.write_text(f'#!/bin/sh\nPYTHONPATH={path} exec {words} "$@"\n')
    if made.up(refresh=False) != 0:
        raise RuntimeError(f"{folder}: could not be applied with providers that make nothing")
    tools.lay_out(made.folder, cli, providers)
    shutil.rmtree(folder / ".gatehouse", ignore_errors=True)
    return len(made.export()["deployment"]["resources"])


if __name__ == "__main__":
    plugin = sys.argv[1]
    serve_package(plugin, pretending(package(plugin.removeprefix(PREFIX))), sys.argv[2:])
