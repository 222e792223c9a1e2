"""Runs the lab's commands as a user does, and observes what exists."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.bench.measured_lab import MeasuredLab, Result
from lab.commands import PROJECT
from lab.datacentre import domains_of
from lab.pulumi import tools
from lab.pulumi.lab_stack import FOLDER
from lab.web import TCP

LAB = os.environ.get("E2E_LAB", "e2e")
"""Not `test`, the unit tests' stack: they run at the same time in the same folder."""
long = pytest.mark.skipif("E2E_LONG" not in os.environ, reason="more boots: set E2E_LONG=1")


@dataclass(frozen=True)
class Observed:
    """The existing resources, observed rather than read from a state file."""

    domains: dict[str, str]
    """The UUIDs of running domains, by name."""
    containers: dict[str, str]
    """Docker's ids of running containers, by slot."""
    edge: str
    """The PID of HAProxy's master."""


class Driver(MeasuredLab):
    """A lab; ``e2e`` unless it has another name."""

    def __init__(self, folder: Path, name: str = LAB) -> None:
        self.providers = os.environ.get("PROVIDERS", "auto")
        super().__init__(
            name=name, providers=self.providers, folder=folder, log=folder / "commands.log"
        )

    def run(self, *arguments: str) -> Result:
        """Run a command to its end, and print how long it took."""
        began = time.monotonic()
        result = super().run(*arguments)
        seconds = time.monotonic() - began
        print(f"\n$ lab {' '.join(arguments)}  # code {result.code}, {seconds:.0f} s")
        print(result.text)
        self._record(arguments, seconds)
        return result

    def ok(self, *arguments: str) -> Result:
        """Run a command that has to succeed."""
        result = self.run(*arguments)
        assert result.code == 0, result.text
        return result

    def brought_up(self) -> None:
        """Apply the config, unless the previous tests left the lab in this state."""
        if not self.applied:
            self.ok("up")

    @property
    def pulumi_environment(self) -> dict[str, str]:
        """Return the environment in which ``pulumi`` is the lab's, as in `make shell`."""
        return tools.environment(self.datacentre.root / FOLDER, os.environ)

    def forget(self) -> None:
        """Drop the cached outputs, which something else than the lab's commands has changed."""
        self._forget()

    def make_ssh(self, *variables: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run `make ssh` with variables such as ``VM=web-0``; as a user, but for the venv."""
        return subprocess.run(
            (
                *("make", "--silent", "--old-file=venv", f"PYTHON={sys.executable}", "ssh"),
                *(f"LAB={self.name}", f"PROVIDERS={self.providers}", *variables),
            ),
            cwd=PROJECT,
            env={**os.environ, "CONFIG_FILE": str(self.config)},
            check=False,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def ask(self, question: str, seconds: int = 60) -> subprocess.CompletedProcess[str]:
        """Ask a question of ``lab.inside`` about the last applied stack."""
        return self.datacentre.enter(
            [sys.executable, "-m", "lab.inside", question, self.name, str(seconds)],
            cwd=PROJECT,
            capture=True,
            stdin=json.dumps(self.outputs()),
        )

    def facts(self) -> Observed:
        """Return the resources that exist in the lab."""
        listed = self.inside("virsh", "--quiet", "list", "--name", "--uuid").splitlines()
        domains = {line.split()[1]: line.split()[0] for line in listed if line.strip()}
        asked = self.ask("facts")
        assert asked.returncode == 0, asked.stderr
        answer = json.loads(asked.stdout)
        assert answer["edge"] is not None, "the edge's master does not tell of itself"
        return Observed(domains=domains, containers=answer["containers"], edge=answer["edge"])

    def smoke(self) -> set[str]:
        """Check that every container answers through the edge, and return their slots."""
        result = self.ok("smoke")
        slots = {
            slot
            for service in self.outputs()["services"].values()
            if not service["url"].startswith(TCP)
            for names in service["containers"].values()
            for slot in names
        }
        assert result.last_line == f"smoke: {len(slots)}/{len(slots)} containers answered"
        return slots

    @contextmanager
    def under_load(self, rate: float = 5.0) -> Iterator[dict[str, Any]]:
        """Send requests while the block runs; yield a function for the result after it.

        Args:
            rate: Per second, in all: so few because the VMs' processors may be emulated.
        """
        result: dict[str, Any] = {}
        load = self.load(rate, "e2e", 20_000)
        try:
            load.go_on(2.0)
            yield result
            load.go_on(2.0)
            result |= load.finish()
        except BaseException:
            load.kill()
            raise
        print(f"\nunder load: {json.dumps(result)}")

    @contextmanager
    def under_tcp_load(self, url: str) -> Iterator[dict[str, Any]]:
        """Connect to a TCP service of `hello` while the block runs; gives what came of it."""
        result: dict[str, Any] = {}
        load = self.datacentre.popen(
            [sys.executable, "-m", "lab.load.tcp", url.removeprefix(TCP)],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            yield result
            result |= json.loads(load.communicate(timeout=120)[0])
        finally:
            load.kill()
            load.wait()
        print(f"\nunder TCP load: {json.dumps(result)}")

    @contextmanager
    def losing_nothing(self) -> Iterator[None]:
        """Check that no request fails while the block runs."""
        with self.under_load() as result:
            yield
        assert result["requests"] > 0
        assert result["failed"] == 0, result

    def domain(self, vm: str) -> str:
        """Return the name of a VM's domain, which Pulumi generated."""
        names = self.inside("virsh", "--quiet", "list", "--all", "--name").split()
        (name,) = domains_of(vm, names)
        return name

    def set_config(self, path: str, value: Any) -> None:
        """Change one value of the config, as an editor would."""
        self.configure({path.replace("/", "."): value})

    def remove_service(self, name: str) -> None:
        """Remove a service from the config, and apply nothing."""
        document = yaml.safe_load(self.config.read_text())
        del document["config"]["gatehouse:services"][name]
        self.config.write_text(yaml.safe_dump(document, sort_keys=False))

    def _record(self, arguments: tuple[str, ...], seconds: float) -> None:
        place = os.environ.get("E2E_TIMES")
        if place:
            with Path(place).open("a") as file:
                file.write(f"{' '.join(arguments)}\t{seconds:.1f}\n")
