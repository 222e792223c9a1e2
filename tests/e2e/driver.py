"""Runs the lab's commands as a user does, and asks what really exists."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.bench.load import Load
from lab.commands import PROJECT
from lab.datacentre import Datacentre

LAB = os.environ.get("E2E_LAB", "test")


@dataclass(frozen=True)
class Result:
    """How a command ended, with both of its outputs in one text."""

    code: int
    text: str

    @property
    def last_line(self) -> str:
        return self.text.strip().splitlines()[-1] if self.text.strip() else ""


@dataclass(frozen=True)
class Facts:
    """What really exists: not what a state file says."""

    domains: dict[str, str]
    """UUID by name, of those that run."""
    containers: dict[str, str]
    """Docker's id by slot, of those that run."""
    edge: str
    """HAProxy's master process."""


class Driver:
    """The lab ``test``."""

    def __init__(self, folder: Path) -> None:
        self.engine = os.environ.get("ENGINE", "auto")
        self.config = Path(shutil.copy(PROJECT / "Pulumi.lab.yaml", folder))
        self.datacentre = Datacentre(LAB)

    def command(self, *arguments: str) -> list[str]:
        """Return the command line that the Makefile would run."""
        return [
            *(sys.executable, "-m", "lab", "--name", LAB, "--engine", self.engine),
            *("--config-file", str(self.config), *arguments),
        ]

    def run(self, *arguments: str) -> Result:
        """Run a command to its end, and print how long it took, for the record."""
        began = time.monotonic()
        done = subprocess.run(
            self.command(*arguments),
            cwd=PROJECT,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        seconds = time.monotonic() - began
        print(f"\n$ lab {' '.join(arguments)}  # code {done.returncode}, {seconds:.0f} s")
        print(done.stdout)
        self._record(arguments, seconds)
        return Result(done.returncode, done.stdout)

    def ok(self, *arguments: str) -> Result:
        """Run a command that has to succeed."""
        result = self.run(*arguments)
        assert result.code == 0, result.text
        return result

    def inside(self, *command: str) -> str:
        """Run a program inside the lab and return what it prints."""
        done = self.datacentre.enter(list(command), cwd=PROJECT, capture=True, timeout=120)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def ask(self, question: str, seconds: int = 60) -> subprocess.CompletedProcess[str]:
        """Ask one of the questions of ``lab.inside`` about the stack as it was last applied."""
        return self.datacentre.enter(
            [sys.executable, "-m", "lab.inside", question, LAB, str(seconds)],
            cwd=PROJECT,
            capture=True,
            stdin=json.dumps(self.outputs()),
        )

    def outputs(self) -> dict[str, Any]:
        """Return the stack's outputs."""
        engine = "pulumi" if (self.datacentre.root / "engines" / "pulumi").is_dir() else "lab"
        module = {"pulumi": "lab.pulumi_cli", "lab": "lab.engine"}[engine]
        state = str(self.datacentre.root / "engines" / engine)
        told = self.inside(
            *(sys.executable, "-m", module, "outputs", "--stack", LAB, "--state", state),
            *("--config-file", str(self.config)),
        )
        found: dict[str, Any] = json.loads(told)
        return found

    def facts(self) -> Facts:
        """Return what exists in the lab."""
        listed = self.inside("virsh", "--quiet", "list", "--name", "--uuid").splitlines()
        domains = {line.split()[1]: line.split()[0] for line in listed if line.strip()}
        asked = self.ask("facts")
        assert asked.returncode == 0, asked.stderr
        told = json.loads(asked.stdout)
        return Facts(domains=domains, containers=told["containers"], edge=told["edge"])

    def smoke(self) -> set[str]:
        """Check that every container answers through the edge, and return their slots."""
        result = self.ok("smoke")
        slots = {
            slot
            for service in self.outputs()["services"].values()
            for names in service["containers"].values()
            for slot in names
        }
        assert result.last_line == f"smoke: {len(slots)}/{len(slots)} containers answered"
        return slots

    @contextmanager
    def under_load(self, rate: float = 5.0) -> Iterator[dict[str, Any]]:
        """Send requests while the block runs; gives what came of them, once it has ended.

        Args:
            rate: Per second, in all: so few because the VMs' processors may be emulated.
        """
        result: dict[str, Any] = {}
        load = Load(
            self.datacentre,
            target=self.outputs()["edge"]["address"],
            host="hello.lab",
            rate=rate,
            section="e2e",
            most_requests=20_000,
        )
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
    def losing_nothing(self) -> Iterator[None]:
        """Check that no client sees a failed request while the block runs."""
        with self.under_load() as result:
            yield
        assert result["requests"] > 0
        assert result["failed"] == 0, result

    def domain(self, vm: str) -> str:
        """Return the name of a VM's domain, which an engine has made up."""
        names = self.inside("virsh", "--quiet", "list", "--all", "--name").split()
        (name,) = [name for name in names if re.fullmatch(rf"{vm}-domain-[0-9a-f]+", name)]
        return name

    def on_vm(self, vm: str, command: str) -> str:
        """Run a command on a VM, as the user that Gatehouse made."""
        from components.vm.ssh import SSH_USER, options

        keys = f".gatehouse/{LAB}"
        connection = options(
            key_file=f"{keys}/id_ed25519", known_hosts=f"{keys}/{vm}.known_hosts", host=vm
        )
        address = self.outputs()["vms"][vm]["address"]
        return self.inside("ssh", *connection, f"{SSH_USER}@{address}", command)

    def set_config(self, path: str, value: Any) -> None:
        """Change one value of the config, as an editor would."""
        document = yaml.safe_load(self.config.read_text())
        first, *parents, last = path.split("/")
        place = document["config"].setdefault(f"gatehouse:{first}", {})
        for parent in parents:
            place = place[parent]
        place[last] = value
        self.config.write_text(yaml.safe_dump(document, sort_keys=False))

    def _record(self, arguments: tuple[str, ...], seconds: float) -> None:
        place = os.environ.get("E2E_TIMES")
        if place:
            with Path(place).open("a") as file:
                file.write(f"{' '.join(arguments)}\t{seconds:.1f}\n")
