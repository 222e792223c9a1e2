"""Types the commands of the README and the docs, unchanged, in a terminal."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.commands import PROJECT
from tests.support.driver import Driver
from tests.support.terminal import typed

OWN = (
    *("__main__.py", "components", "controller", "recovery", "remote"),
    *("Makefile", "Pulumi.yaml"),
)
"""The files of a checkout that these commands need."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """A person at a terminal in a checkout."""

    folder: Path
    environment: Mapping[str, str]
    stack: str = "prod"
    service: str = "matomo"
    enter: Sequence[str] = field(default=())

    def types(self, command: str) -> tuple[int, str]:
        """Run a command of the docs on this stack; return its exit code and output."""
        own = command.replace("STACK=prod", f"STACK={self.stack}").replace(
            "services.matomo.", f"services.{self.service}."
        )
        # The virtual environment is the one that runs this.
        own = own.replace("make recover", f"make --old-file=venv PYTHON={sys.executable} recover")
        code, text = typed(own, self.folder, self.environment, enter=self.enter)
        print(f"\n$ {own}  # {code}\n{text}")
        return code, text

    def ok(self, command: str) -> str:
        """Run a command that has to succeed, and return its output."""
        code, text = self.types(command)
        assert code == 0, text
        return text


def checkout(folder: Path) -> None:
    """Make a folder that looks like a checkout."""
    for name in OWN:
        place = folder / name
        if not place.is_symlink():
            place.symlink_to(PROJECT / name)
    venv = folder / ".venv"
    if not venv.is_symlink():
        venv.symlink_to(sys.prefix)


def in_the_lab(driver: Driver) -> Person:
    """Return a person in the lab, with its CLI, its stack, and the config that was applied last."""
    datacentre = driver.datacentre
    stack = datacentre.root / "stack"
    folder = datacentre.root / "person"
    folder.mkdir(exist_ok=True)
    checkout(folder)
    keys = folder / ".gatehouse"
    if not keys.is_symlink():
        keys.symlink_to(PROJECT / ".gatehouse")
    name = f"Pulumi.{driver.name}.yaml"
    shutil.copyfile(stack / "project" / name, folder / name)
    person = Person(
        folder=folder,
        environment=driver.pulumi_environment,
        stack=driver.name,
        service="hello",
        enter=datacentre._space.command((), cwd=folder),
    )
    person.ok(f"pulumi stack select {driver.name}")
    return person


def environment_of(stack: Path, home: Path) -> dict[str, str]:
    """Return the environment of a person with a home, and the programs of a stack's folder."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PULUMI_")}
    return {
        **kept,
        "HOME": str(home),
        "PATH": f"{stack / 'bin'}:{os.environ['PATH']}",
        "PULUMI_HOME": str(stack / "home"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
