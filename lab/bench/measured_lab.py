"""The lab under measurement: its config, its commands, and access to its parts."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components import goyaml
from controller.key_files import key_folder
from controller.ssh import SSH_USER, options_in
from lab import live
from lab.bench.lab_load import LabLoad
from lab.commands import PROJECT
from lab.datacentre import Datacentre
from lab.edge_access import EdgeHost
from lab.pulumi.lab_stack import FOLDER, LabStack
from lab.stack_copies import set_in_copy
from lab.web import POLL_SECONDS

COMMAND_SECONDS = 120.0
HOST = "hello.lab"
AS_IT_COMES: Mapping[str, Any] = {"farm.vms": 2, "services.hello.replicas": 3}
"""Values to reset, as a user may have changed them in the project's stack file."""

Notes = dict[str, Any]
"""Remarks on a scenario, beside the load's result."""


class Trouble(Exception):  # noqa: N818 - what it is
    """A scenario went wrong; the text says what happened."""


@dataclass(frozen=True)
class Result:
    """The exit code of a command of the lab, with stdout and stderr in one text."""

    code: int
    text: str

    @property
    def last_line(self) -> str:
        """The last line that was printed."""
        return self.text.strip().splitlines()[-1] if self.text.strip() else ""


class MeasuredLab:
    """One lab under measurement, with its own config."""

    def __init__(self, *, name: str, providers: str, folder: Path, log: Path) -> None:
        """Prepare; nothing is started.

        Args:
            name: The lab.
            providers: ``auto``, ``real`` or ``lab``.
            folder: Where the config is kept while the run lasts.
            log: A file to which the commands' output goes.
        """
        self.name = name
        self.datacentre = Datacentre(name)
        self._providers = providers
        self._log = log
        self.config = folder / "Pulumi.lab.yaml"
        set_in_copy(PROJECT / self.config.name, self.config, AS_IT_COMES)
        self.apart = False
        """Whether commands, and the daemons that they start, run at the lowest priority: in
        production, the program runs on another machine."""
        self._applied: str | None = None
        self._edge: EdgeHost | None = None
        self._outputs: dict[str, Any] | None = None

    def command(self, *arguments: str) -> list[str]:
        """Return the command line that the Makefile would run."""
        return [
            *(("chrt", "--idle", "0") if self.apart else ()),
            *(sys.executable, "-m", "lab", "--name", self.name, "--providers", self._providers),
            *("--config-file", str(self.config), *arguments),
        ]

    def run(self, *arguments: str) -> Result:
        """Run one of the lab's commands to its end."""
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
        self._forget()
        if arguments[0] in ("up", "scale", "--acme", "down"):
            as_configured = arguments[0] == "up" and done.returncode == 0
            self._applied = self.config.read_text() if as_configured else None
        with self._log.open("a") as log:
            seconds = time.monotonic() - began
            log.write(f"$ lab {' '.join(arguments)}  # {done.returncode}, {seconds:.0f} s\n")
            log.write(done.stdout)
        return Result(done.returncode, done.stdout)

    def up(self) -> None:
        """Apply the config.

        Raises:
            Trouble: It failed.
        """
        result = self.run("up")
        if result.code != 0:
            tail = "\n".join(result.text.splitlines()[-25:])
            raise Trouble(f"up ended with code {result.code}:\n{tail}")

    def up_killed(self, after: float) -> bool:
        """Begin to apply the config, and kill the command with -9 after some seconds.

        Returns:
            Whether it was still under way then.
        """
        self._applied = None
        self._forget()
        with self._log.open("a") as log:
            log.write(f"$ lab up  # to be killed after {after:g} s\n")
            log.flush()
            with subprocess.Popen(
                self.command("up"),
                cwd=PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            ) as process:
                try:
                    process.wait(after)
                except subprocess.TimeoutExpired:
                    process.kill()
                    return True
                return False

    def left_over(self) -> list[str]:
        """Return the containers, domains and volumes that exist and are not in the outputs."""
        outputs = self.outputs()
        names = (
            "docker ps --all --filter label=gatehouse.slot --format '{{.Label \"gatehouse.slot\"}}'"
        )
        found = [slot for vm in outputs["vms"] for slot in self.on_vm(vm, names).split()]
        wanted = [
            slot
            for service in outputs["services"].values()
            for slots in service["containers"].values()
            for slot in slots
        ]
        extra = [f"container {slot}" for slot in (Counter(found) - Counter(wanted)).elements()]
        domains = self.inside("virsh", "--quiet", "list", "--all", "--name").split()
        vms = [*outputs["vms"], *filter(None, [outputs["edge"].get("vm")])]
        if len(domains) != len(vms):
            extra += [f"domain {name} of {len(domains)}" for name in domains]
        folder = f"/var/lib/libvirt/gatehouse/{self.name}"
        volumes = self.inside("ls", folder).split()
        disks = [each for each in volumes if re.match(rf"({'|'.join(vms)})-", each)]
        if len(disks) != 2 * len(vms):
            extra += [f"volume {name} of {len(disks)}" for name in disks]
        return extra

    def change(self, values: Mapping[str, Any]) -> None:
        """Set values of the config by their path, as in ``farm.vms``, and apply them."""
        self.configure(values)
        self.up()

    def settle(self, values: Mapping[str, Any]) -> None:
        """Apply the config with these values, unless that is done."""
        self.configure(values)
        if not self.applied:
            self.up()

    @property
    def applied(self) -> bool:
        """Whether the config is the one that was applied last."""
        return self.config.read_text() == self._applied

    def value(self, path: str) -> Any:
        """Return a value of the config by its path, as in ``farm.vms``; none if it has none."""
        first, *rest = path.split(".")
        found = goyaml.load(self.config.read_text())["config"][f"gatehouse:{first}"]
        for each in rest:
            found = found.get(each)
        return found

    def configure(self, values: Mapping[str, Any]) -> None:
        """Set values of the config, and apply nothing."""
        document = goyaml.load(self.config.read_text())
        for path, value in values.items():
            first, *parents, last = path.split(".")
            place = document["config"][f"gatehouse:{first}"]
            for parent in parents:
                place = place[parent]
            place[last] = value
        self.config.write_text(goyaml.dump(document))

    def inside(self, *command: str) -> str:
        """Run a program inside the lab and return what it prints.

        Raises:
            Trouble: It failed.
        """
        done = self.datacentre.enter(
            list(command), cwd=PROJECT, capture=True, timeout=COMMAND_SECONDS
        )
        if done.returncode != 0:
            raise Trouble(f"{shlex.join(command)}: code {done.returncode}: {done.stderr}")
        return done.stdout

    def _forget(self) -> None:
        """Drop cached values that a command may have changed."""
        self._edge = self._outputs = None

    def outputs(self) -> dict[str, Any]:
        """Return the stack's outputs, as the last command left them."""
        if self._outputs is None:
            self._outputs = self._asked_outputs()
        return self._outputs

    def _asked_outputs(self) -> dict[str, Any]:
        stack = LabStack(
            enter=self.datacentre.enter,
            name=self.name,
            project=PROJECT,
            folder=self.datacentre.root / FOLDER,
        )
        return stack.outputs()

    def on_vm(self, vm: str, command: str) -> str:
        """Run a shell command on a VM, as the user that Gatehouse made."""
        return self.inside(*self._ssh(vm, command))

    def _ssh(self, vm: str, command: str) -> tuple[str, ...]:
        connection = options_in(key_folder(self.name), vm)
        address = self.outputs()["vms"][vm]["address"]
        return ("ssh", *connection, f"{SSH_USER}@{address}", command)

    def as_root(self, vm: str, command: str, *, wait: bool = True) -> str:
        """Run a shell command on a VM as root.

        Without `wait` it is only started, and its output is not returned.
        """
        started = () if wait else ("systemd-run", "--quiet")
        return self.on_vm(vm, shlex.join(("sudo", *started, "sh", "-c", command)))

    @contextmanager
    def ready_as_root(self, vm: str, command: str) -> Iterator[Callable[[], None]]:
        """Prepare a shell command on a VM, so that the seconds to connect are not measured.

        Yields:
            A function that runs it to its end.

        Raises:
            Trouble: It failed.
        """
        waiting = shlex.join(("sudo", "sh", "-c", f"echo ready; read go; {command}"))
        with self.datacentre.popen(
            self._ssh(vm, waiting),
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:

            def go() -> None:
                process.communicate("\n", COMMAND_SECONDS)
                if process.returncode != 0:
                    raise Trouble(f"{vm}: {command}: code {process.returncode}")

            try:
                if process.stdout is None or process.stdout.readline() != "ready\n":
                    raise Trouble(f"{vm}: {command}: not ready for it")
                yield go
            finally:
                process.kill()

    def posts_handled_twice(self) -> int:
        """Return how many POSTs the containers that still exist answered more than once.

        Each POST has a unique id, and the application logs it once it has answered. Requests that a
        container had accepted when it died are not in its log.
        """
        logs = (
            "for each in $(docker ps --all --quiet --filter label=gatehouse.slot);"
            " do docker logs $each 2>&1; done"
        )
        lines = "".join(self.on_vm(vm, logs) for vm in self.outputs()["vms"])
        return sum(count > 1 for count in post_counts(lines).values())

    def load(self, rate: float, name: str, most_requests: int) -> LabLoad:
        """Start load on the edge, over HTTPS if that is how the services are reached."""
        outputs = self.outputs()
        urls = [service["url"] for service in outputs["services"].values()]
        return LabLoad(
            self.datacentre,
            target=outputs["edge"]["address"],
            trusted=self.certificates if urls[0].startswith("https:") else None,
            host=HOST,
            rate=rate,
            section=name,
            most_requests=most_requests,
        )

    @property
    def certificates(self) -> str:
        """The path of the edge's certificates to trust, seen from inside the lab."""
        return str(self.edge.certificates())

    @property
    def edge(self) -> EdgeHost:
        """The edge, as the last command left it; the lab's own files are reached from here too."""
        if self._edge is None:
            root = self.datacentre.root / "fs"
            self._edge = EdgeHost.of(self.name, self.outputs(), root=root, run=self._caught)
        return self._edge

    def _caught(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return self.datacentre.enter(list(command), cwd=PROJECT, capture=True)

    def edge_states(self) -> dict[str, str] | None:
        """Return the state of each server as ``backend/vm``; None if the edge does not answer."""
        stats = self.edge.ask("show stat")
        if stats is None:
            return None
        return {
            f"{backend}/{vm}": state
            for vm, backends in live.edge_states(stats).items()
            for backend, state in backends.items()
        }

    def all_up(self) -> bool:
        """Return whether the edge answers and every server is up."""
        states = self.edge_states()
        return bool(states) and all(state == "UP" for state in (states or {}).values())


def post_counts(logs: str) -> Counter[str]:
    """Return how many times each POST is in the logs of `hello`'s containers, by its id."""
    return Counter(re.findall(r'"uri":"/echo\?id=([^"]+)"', logs))


def until(condition: Callable[[], bool], seconds: float) -> float | None:
    """Wait for a condition; return the seconds that it took, or None if it took too long."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            return None
        time.sleep(POLL_SECONDS)
    return time.monotonic() - began
