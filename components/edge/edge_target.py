"""Where the edge runs: on this machine, on another one over SSH, or on a VM made for it.

An edge target has the address at which clients find the edge, and the way to run the edge agent
there. The rest of the program does not depend on which of the three it is.
"""

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_command import local

from components.config.models.edge import Edge as EdgeConfig
from components.edge.edge_vm import edge_vm_spec
from components.vm.farm import Farm
from components.vm.keys import written
from components.vm.vm import Vm, VmArgs
from controller.key_files import key_folder
from controller.ssh import known_hosts_line, verified
from remote.archive import EDGE_AGENT, version
from remote.vm_firewall.grant import Grant

_ALIAS = "edge"
_SUDO = ("sudo", "--non-interactive")


@dataclass(frozen=True, kw_only=True)
class EdgeCommand:
    """One command of the edge agent."""

    create: Sequence[str]
    """Its arguments when the resource is created or changed."""
    delete: Sequence[str] | None = None
    """Its arguments when the resource is deleted; None if another resource's deletion suffices."""
    stdin: pulumi.Input[str]


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """SSH access to another machine."""

    ssh: pulumi.Output[str]
    """The shell command to which the remote command, run as root, is appended."""
    key: str
    """The key of the config that says where it is: ``edge.host`` or ``edge.vm``."""
    host: str
    """Its name."""
    vm: Vm | None = None
    """The VM, if the edge is one: the edge ends with it."""
    admitted: pulumi.Resource | None = None
    """The firewall grant for clients on that VM."""


@dataclass(frozen=True, kw_only=True)
class EdgeTarget:
    """One of the three."""

    address: str
    """Where clients find the edge: an IP address, or a domain."""
    elsewhere: Elsewhere | None = None
    """None for this machine."""

    @property
    def outputs(self) -> dict[str, pulumi.Input[str]]:
        """Outputs besides the address."""
        there = self.elsewhere
        if there is None:
            return {}
        return {"ssh": there.ssh, **({"vm": there.host} if there.vm is not None else {})}

    def run(self, name: str, asked: EdgeCommand, opts: pulumi.ResourceOptions) -> pulumi.Resource:
        """Return the resource that runs the edge agent when it is made, and when it is deleted.

        Each kind of target has its own name, so that moving the edge makes the new one first.
        """
        if self.elsewhere is None:
            run = ("exec", "python3", "-m", "remote.edge_agent")
            return local.Command(name, command(run, asked), opts)
        there = self.elsewhere
        run = ("exec", "python3", "-m", "controller.reach")
        args = command(run, asked)
        args.environment = {
            "GATEHOUSE_SSH": there.ssh,
            "GATEHOUSE_KEY": there.key,
            "GATEHOUSE_HOST": there.host,
            # A new version of the edge agent has to be sent there.
            "GATEHOUSE_EDGE_AGENT": version(EDGE_AGENT),
        }
        if there.vm is None:
            args.triggers = [there.host]  # replaced for another host, so the old host's edge ends
            return local.Command(f"{name}-there", args, opts)
        with_vm = pulumi.ResourceOptions(
            deleted_with=there.vm.domain,
            replacement_trigger=there.vm.domain.id,
            depends_on=[there.admitted] if there.admitted is not None else [],
        )
        return local.Command(f"{name}-on-vm", args, pulumi.ResourceOptions.merge(opts, with_vm))


def edge_target(
    edge: EdgeConfig,
    farm: Farm,
    *,
    public: Sequence[int],
    parent: pulumi.Resource,
    after: Sequence[pulumi.Resource],
) -> EdgeTarget:
    """Return the edge target, and create the VM for it if needed.

    Args:
        edge: The edge's config.
        farm: The farm, for an edge VM.
        public: The ports that every client may reach.
        parent: The edge.
        after: Resources that have to serve before an edge VM is replaced. The VM has one address,
            so the old VM gives it up before the new one is made.
    """
    if edge.vm is not None:
        spec = edge_vm_spec(farm.config, edge.vm)
        if spec.address is None:
            raise ValueError("edge.vm.address: is checked in components.config.checks")
        vm = Vm(
            spec.name,
            VmArgs(farm=farm, spec=spec, after=after),
            pulumi.ResourceOptions(parent=parent),
        )
        admitted = vm.admit("edge-firewall", Grant(public=tuple(public)), parent=parent)
        ssh = vm.ssh_command.apply(lambda command: f"{command} {shlex.join(_SUDO)}")
        return EdgeTarget(
            address=str(spec.address.ip),
            elsewhere=Elsewhere(ssh=ssh, key="edge.vm", host=spec.name, vm=vm, admitted=admitted),
        )
    if edge.host is None or edge.host_key is None:
        return EdgeTarget(address=edge.bind)
    # One file per host: the previous one is still needed to remove the edge there.
    file = f"{_ALIAS}-{hashlib.sha256(edge.host.encode()).hexdigest()[:16]}.known_hosts"
    known_hosts = written(
        key_folder(pulumi.get_stack()) / file, known_hosts_line(_ALIAS, edge.host_key)
    )
    return EdgeTarget(
        address=edge.host,
        elsewhere=Elsewhere(
            ssh=known_hosts.apply(lambda path: shlex.join(ssh_words(edge, path))),
            key="edge.host",
            host=edge.host,
        ),
    )


def ssh_words(edge: EdgeConfig, known_hosts: str) -> tuple[str, ...]:
    """Return the words of ``ssh`` to ``edge.host``, to which a command for root is appended.

    Args:
        edge: With a host.
        known_hosts: The file that has its key.
    """
    return (
        "ssh",
        *verified(known_hosts=known_hosts, host=_ALIAS),
        *("-p", str(edge.ssh_port), f"{edge.user}@{edge.host}"),
        *(_SUDO if edge.user != "root" else ()),
    )


def command(run: Sequence[str], asked: EdgeCommand) -> local.CommandArgs:
    """Return the arguments of the resource.

    Args:
        run: The words that start the edge agent, or the program that reaches it.
        asked: The command to run.
    """
    create, delete = shlex.join((*run, *asked.create)), None
    if asked.delete is not None:
        # The output of the last creation or update; empty when the command is created.
        printed = '--printed "$PULUMI_COMMAND_STDOUT"'
        create, delete = f"{create} {printed}", f"{shlex.join((*run, *asked.delete))} {printed}"
    return local.CommandArgs(
        create=create,
        delete=delete,
        stdin=asked.stdin,
    )
