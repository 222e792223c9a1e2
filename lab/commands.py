"""The lab's commands, step by step.

Everything that has to be inside the lab (Pulumi, requests to the edge and to Docker) runs there as
a separate program: ``lab.pulumi.operations`` or ``lab.inside``.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.key_files import key_folder
from controller.ssh import addresses, entering
from lab import acme_server, packages, prerequisites, stack_copies
from lab.console import note, step
from lab.datacentre import Datacentre, domains_of
from lab.images import stock
from lab.pulumi import cli, tools
from lab.pulumi.errors import StackError
from lab.pulumi.lab_stack import FOLDER, LabStack

PROJECT = Path(__file__).parents[1]
_BOOT_SECONDS = 600  # farm.boot_timeout's default


class LabError(Exception):
    """A command cannot be carried out; the text says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Lab:
    """One lab, and the options of its commands."""

    name: str
    providers: str
    """``auto``, ``real`` or ``lab``."""
    config_file: Path
    acme: bool = False
    """Whether the edge obtains its certificates from the lab's ACME server."""

    def up(self) -> int:
        """Start the lab, apply the stack, and show its state."""
        with self._datacentre.lock:
            return self._applied(*self._started())

    def preview(self) -> int:
        """Show what ``up`` would change, and change nothing in the stack."""
        with self._datacentre.lock:
            stack, _ = self._started()
            return stack.preview(self._config())

    def scale(self, *, vms: int | None, service: str | None, replicas: int | None) -> int:
        """Set counts in the lab, leaving the config file as it is, and apply them."""
        wanted = stack_copies.counts(self.config_file, vms=vms, service=service, replicas=replicas)
        with self._datacentre.lock:
            started = self._started()
            kept = {**stack_copies.kept(self._scaled, self.config_file), **wanted}
            stack_copies.keep(self._scaled, self.config_file, kept)
            return self._applied(*started)

    def _applied(self, stack: LabStack, providers: tools.Providers) -> int:
        self._heal(stack)
        stack.keep(providers)
        code = stack.up(self._config(), refresh=True)
        return code or self._inside("show", stack.outputs())

    def status(self) -> int:
        """Show tables of the live state of the edge and of each VM's Docker."""
        return self._inside("status", self._outputs())

    def smoke(self) -> int:
        """Send requests to the edge until every container has answered."""
        return self._inside("smoke", self._outputs())

    def shell(self) -> int:
        """Open a shell in the lab's network, with the lab's ``pulumi`` on PATH."""
        self._require_running()
        shell = os.environ.get("SHELL", "/bin/bash")
        command = (sys.executable, "-m", "lab.pulumi.resident", shell)
        variables = self._stack.environment
        return self._datacentre.enter(command, cwd=PROJECT, env=variables).returncode

    def ssh(self, vm: str, command: str) -> int:
        """Open a shell on a VM, or run a command there."""
        with contextlib.chdir(PROJECT):  # short enough for a socket's path
            words = entering(
                self._outputs(),
                vm,
                key_folder(self.name),
                command=command,
                missing="run `make preview`, which writes it",
            )
        return self._datacentre.enter(words, cwd=PROJECT).returncode

    def down(self) -> int:
        """Destroy the stack and remove the lab; without a lab there is nothing to do."""
        datacentre = self._datacentre
        with datacentre.lock:
            if datacentre.running():
                self._destroy()
            with step(f"remove the lab {self.name!r}"):
                datacentre.stop()
                shutil.rmtree(PROJECT / key_folder(self.name), ignore_errors=True)
        print(f"lab {self.name}: removed; its images stay in the cache")
        return 0

    @property
    def _datacentre(self) -> Datacentre:
        return Datacentre(self.name)

    @property
    def _stack(self) -> LabStack:
        datacentre = self._datacentre
        return LabStack(
            enter=datacentre.enter,
            name=self.name,
            project=PROJECT,
            folder=datacentre.root / FOLDER,
        )

    def _started(self) -> tuple[LabStack, tools.Providers]:
        if self.acme:
            packages.ensure(acme_server.PACKAGES)
        prerequisites.check_root()
        image = Path(stack_copies.image(self.config_file) or "")
        with cli.being_built():
            self._datacentre.start(
                stack_copies.hosts(self.config_file),
                [image.name] if stock.suite_of(image) else [],
            )
        stack, found = self._stack, cli.ready()
        providers = stack.providers(self.providers, found)
        stack.lay_out(found, providers)
        print(f"engine: {found}", flush=True)
        print(f"providers: {providers}", flush=True)
        for path, value in stack_copies.kept(self._scaled, self.config_file).items():
            print(f"scaled: {path}: {value}, until you edit it or run `make down`", flush=True)
        return stack, providers

    def _destroy(self) -> None:
        """Destroy the stack; if that fails, say why, as it ends with the lab anyway.

        A lab is disposable, and removing its namespaces removes all the rest. So a missing program
        or state does not stop this.
        """
        stack = self._stack
        if stack.applied_with() is None:
            return
        with step("destroy the stack"):
            try:
                found = cli.ready()
                stack.lay_out(found, stack.providers("auto", found))
                code = stack.destroy(self._config())
            except (cli.CliError, tools.ProvidersError, StackError) as error:
                note(str(error))
                code = 1
        if code != 0:
            note("the stack could not be destroyed in order; the lab is removed with it")

    @property
    def _scaled(self) -> Path:
        """The file with the counts of `make scale`, which leaves the user's config file alone."""
        return self._datacentre.root / "scaled.json"

    def _config(self) -> Path:
        """Return the config file to apply: a copy, if the lab changes any value."""
        values: dict[str, Any] = dict(stack_copies.kept(self._scaled, self.config_file))
        domain_type = self._datacentre.domain_type()
        if domain_type != "qemu":  # KVM, where a test guest ran on it
            values["farm.domain_type"] = domain_type
        if self.acme:
            values["edge.tls.acme"] = dict(acme_server.ensure(self._datacentre))
        if not values:
            return self.config_file
        copy = self._datacentre.root / "config" / self.config_file.name
        stack_copies.set_in_copy(self.config_file, copy, values)
        return copy

    def _heal(self, stack: LabStack) -> None:
        """Bring back VMs that were powered off or removed without Pulumi.

        A refresh fails on a VM that is off, because it asks the VM's Docker, and an update does not
        wait for a VM that is booting again. So this starts VMs that are off. An update without a
        refresh creates a VM that is gone; a refresh would try to reach its old address.
        """
        outputs = stack.outputs()
        if not outputs or self._inside("docker-answers", outputs, seconds=0) == 0:
            return
        with step("a VM's Docker does not answer: bring its VM back first"):
            for domain in self._virsh("list", "--name", "--state-shutoff"):
                self._virsh("start", domain)
            there = self._virsh("list", "--name", "--all")
            gone = [vm for vm in addresses(outputs) if not domains_of(vm, there)]
            for vm in gone:
                self._remove_disks(vm)
            config = self._config()
            if gone and (stack.refresh(config, target_types=("libvirt:*",)) or stack.up(config)):
                raise LabError("the VMs could not be brought back; see above")
            if self._inside("docker-answers", stack.outputs(), seconds=_BOOT_SECONDS):
                raise LabError(f"a VM's Docker does not answer {_BOOT_SECONDS} s after its start")

    def _remove_disks(self, vm: str) -> None:
        """Remove a VM's disks: their system expects the old network card's MAC address."""
        for pool in self._virsh("pool-list", "--name"):
            for word in self._virsh("vol-list", pool):
                if word.startswith((f"{vm}-disk-", f"{vm}-cloudinit-")):
                    self._virsh("vol-delete", word, pool)

    def _virsh(self, *arguments: str) -> list[str]:
        """Return the words that virsh prints for this lab's hypervisor."""
        done = self._datacentre.enter(("virsh", "--quiet", *arguments), capture=True)
        if done.returncode != 0:
            raise LabError(f"virsh {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout.split()

    def _outputs(self) -> dict[str, Any]:
        self._require_running()
        outputs = self._stack.outputs()
        if not outputs:
            raise LabError("the stack is not applied: run `make up`")
        return outputs

    def _require_running(self) -> None:
        if not self._datacentre.running():
            raise LabError(f"the lab {self.name!r} does not run: run `make up`")

    def _inside(self, what: str, outputs: dict[str, Any], seconds: int = 120) -> int:
        command = [sys.executable, "-m", "lab.inside", what, self.name, str(seconds)]
        ended: subprocess.CompletedProcess[str] = self._datacentre.enter(
            command, cwd=PROJECT, stdin=json.dumps(outputs)
        )
        return ended.returncode
