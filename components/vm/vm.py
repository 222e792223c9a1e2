"""A VM: disk, cloud-init and domain as one unit, ready when its role says so.

Its address is known once it has booted, from libvirt's DHCP server, unless its plan has one. The
domain itself waits for nothing: the gate does, because it can tell from the console why a VM does
not come up.
"""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pulumi_libvirt as libvirt
from pulumi_command import local

from components.config.units import MEBIBYTE
from components.data.inventory import Made
from components.vm import cloudinit, seed
from components.vm.addresses import mac_address, static_address
from components.vm.farm import Farm
from components.vm.generation import digest
from components.vm.keys import KeyPair, key_folder, write_private, written
from components.vm.plan import Plan
from controller.ssh import SSH_USER, known_hosts_line, options
from remote.shipping import whole_program
from remote.vm_firewall import firewall


@dataclass(frozen=True, kw_only=True)
class VmArgs:
    """Arguments of ``Vm``."""

    farm: Farm
    plan: Plan
    after: Sequence[pulumi.Resource] = ()
    """What has to be there before it is touched, be it made or replaced."""
    made: Made | None = None
    """The values that the VM is made of, for the state; None for a VM that cannot hold data."""
    before: Made | None = None
    """The values of the last run; None if it did not keep any."""
    data: Sequence[Mapping[str, Any]] = ()
    """What the state has to keep of the data on the VM."""
    stays: bool = False
    """Whether it keeps the first-boot text that ``made.generation`` stands for."""
    protect: bool = False
    """Whether the engine has to refuse its deletion, as it holds data."""
    seed_goes: bool = False
    """Whether its seed disk is replaced despite ``protect``, because its disk has vanished."""


class Vm(pulumi.ComponentResource):
    """One VM on a farm's ground."""

    name: str
    plan: Plan
    domain: libvirt.Domain
    """What containers are ``deleted_with``; its id changes whenever the VM is a new one."""
    address: pulumi.Output[str]
    """The VM's IPv4 address, known only when it is ready."""
    disk: pulumi.Output[str]
    """The name of its disk, in the pool."""
    docker_host: pulumi.Output[str]
    ssh_options: pulumi.Output[list[str]]
    """How ``ssh`` reaches the VM with its host key verified."""
    ssh_command: pulumi.Output[str]
    """The same as a shell command; what is to be run there follows it."""

    def __init__(self, name: str, args: VmArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("gatehouse:vm:Vm", name, None, opts)
        self.name = name
        self.plan = args.plan
        self._ssh_from = args.farm.ssh_from
        farm, spec, plan = args.farm, args.farm.config, args.plan
        stack = pulumi.get_stack()
        mac = mac_address(plan, stack)
        static = static_address(plan, spec.network, stack)
        network = cloudinit.network_config(static) if static is not None else None
        host_key = KeyPair(f"{name}-hostkey", name, pulumi.ResourceOptions(parent=self))
        user_data = pulumi.Output.all(
            farm.ssh_key.public_key, host_key.private_key, host_key.public_key
        ).apply(lambda keys: cloudinit.user_data(cloudinit.guest(plan, spec, keys=keys)))
        kept: tuple[object, ...] = () if mac is None else (mac,)
        if plan.address is not None:
            kept = (network, mac, str(plan.address))
        generation = (
            pulumi.Output.from_input(args.made.generation)
            if args.made is not None and args.stays
            else pulumi.Output.unsecret(
                pulumi.Output.all(farm.base_image_id, user_data).apply(
                    lambda parts: digest(*parts, *plan.size, *kept)
                )
            )
        )
        # The provider replaces only the one whose own inputs changed, and would boot a new domain
        # from the old one's disk while that still runs.
        unit = pulumi.ResourceOptions(
            parent=self,
            provider=farm.provider,
            replacement_trigger=generation,
            depends_on=[farm.room, *args.after, *self._reserved(farm, plan, mac)],
        )
        # The engine then also spares what these depend on.
        data = pulumi.ResourceOptions.merge(
            unit, pulumi.ResourceOptions(protect=args.protect or None)
        )
        disk = libvirt.Volume(
            f"{name}-disk",
            libvirt.VolumeArgs(
                pool=farm.pool, base_volume_id=farm.base_image_id, size=plan.disk, format="qcow2"
            ),
            data,
        )
        self.disk = disk.name
        # A disk that is new has not been told anything yet, and the last one's has been wiped.
        told_once = pulumi.ResourceOptions(
            replacement_trigger=pulumi.Output.all(generation, disk.id),
            ignore_changes=["source"] if args.stays else None,
        )
        seed_disk = libvirt.Volume(
            f"{name}-cloudinit",
            libvirt.VolumeArgs(
                pool=farm.pool,
                source=pulumi.Output.unsecret(
                    user_data.apply(lambda text: _seed_file(stack, name, text, network))
                ),
                format="qcow2",
            ),
            pulumi.ResourceOptions.merge(
                unit if args.seed_goes else data,  # no VM starts without its seed disk
                told_once,
            ),
        )
        self.domain = libvirt.Domain(
            f"{name}-domain",
            libvirt.DomainArgs(
                type=plan.domain_type,
                vcpu=plan.vcpus,
                memory=plan.memory // MEBIBYTE,
                cpu=libvirt.DomainCpuArgs(
                    mode="host-passthrough" if plan.domain_type == "kvm" else "maximum"
                ),
                disks=[libvirt.DomainDiskArgs(volume_id=each.id) for each in (disk, seed_disk)],
                network_interfaces=[
                    libvirt.DomainNetworkInterfaceArgs(
                        network_id=farm.network_id, bridge=spec.network.bridge, mac=mac
                    )
                ],
                consoles=[
                    libvirt.DomainConsoleArgs(type="pty", target_type="serial", target_port="0")
                ],
                autostart=True,
            ),
            pulumi.ResourceOptions.merge(
                data,
                # Two VMs cannot have the same address, nor the same MAC address for DHCP; the other
                # VMs serve meanwhile.
                pulumi.ResourceOptions(delete_before_replace=mac is not None or None),
            ),
        )
        known_hosts = written(
            key_folder(stack) / f"{name}.known_hosts",
            host_key.public_key.apply(lambda key: known_hosts_line(name, key)),
        )
        gate = local.Command(
            f"{name}-boot",
            local.CommandArgs(
                create="exec python3 -m controller.boot wait",
                delete="exec python3 -m controller.boot shutdown",
                environment={
                    "GATEHOUSE_URI": spec.hypervisor.uri,
                    "GATEHOUSE_ADDRESS": str(plan.address.ip) if plan.address else "",
                    "GATEHOUSE_DOMAIN": self.domain.id,
                    "GATEHOUSE_VM": name,
                    "GATEHOUSE_ROLE": plan.role.name,
                    "GATEHOUSE_KEY_FILE": farm.ssh_key_file,
                    "GATEHOUSE_KNOWN_HOSTS": known_hosts,
                    "GATEHOUSE_BOOT_TIMEOUT": str(spec.boot_timeout),
                    "GATEHOUSE_DRAIN_TIMEOUT": str(spec.drain_timeout),
                    "GATEHOUSE_SHUTDOWN_TIMEOUT": str(spec.shutdown_timeout),
                },
                triggers=[self.domain.id],
            ),
            pulumi.ResourceOptions(
                parent=self,
                custom_timeouts=pulumi.CustomTimeouts(
                    create=f"{spec.boot_timeout + 60}s",
                    delete=f"{2 * spec.drain_timeout + spec.shutdown_timeout + 120}s",
                ),
            ),
        )
        self.address = gate.stdout.apply(str.strip)
        self.docker_host = pulumi.Output.concat("ssh://", SSH_USER, "@", self.address)
        self.ssh_options = pulumi.Output.all(farm.ssh_key_file, known_hosts).apply(
            lambda files: list(options(key_file=files[0], known_hosts=files[1], host=name))
        )
        self.ssh_command = pulumi.Output.all(self.ssh_options, self.address).apply(
            lambda parts: shlex.join(("ssh", *parts[0], f"{SSH_USER}@{parts[1]}"))
        )
        if (made := args.made) is None:
            self.register_outputs({"address": self.address})
            return
        # Written with the domain, not once it is ready: a VM that fails later exists too.
        kept_of_it = pulumi.Output.all(generation, disk.name, self.domain.id).apply(
            lambda now: record(made, args.before, *now)
        )
        self.register_outputs(
            {"made": kept_of_it, "domain": self.domain.id, "data": list(args.data)}
        )

    def admit(
        self, name: str, grant: firewall.Grant, *, parent: pulumi.Resource
    ) -> pulumi.Resource:
        """Return what has the VM let in who a grant says, from when it is made until it is gone.

        Another grant is another resource, so that its like is there before the old one goes.

        Args:
            name: The beginning of the resource's name.
            grant: Beside SSH, which is answered to who the farm says.
            parent: Who needs it.
        """
        text = dataclasses.replace(grant, ssh=self._ssh_from).to_json()
        known_as = f"{name}-{digest(text)[:8]}"
        ask = pulumi.Output.concat(self.ssh_command, " ")
        program = Path(firewall.__file__).read_text(encoding="utf-8")
        run = f"sudo --non-interactive {whole_program(program)}"
        allow = f'{run} allow {known_as} {shlex.quote(text)} "$SSH_CONNECTION"'
        forbid = f"{run} forbid {known_as}"
        return local.Command(
            known_as,
            local.CommandArgs(
                create=pulumi.Output.concat("exec ", ask, shlex.quote(allow)),
                # 255 is ssh's own: a VM that cannot be reached lets nobody in.
                delete=pulumi.Output.concat(ask, shlex.quote(forbid), " || [ $? = 255 ]"),
                stdin=program,
                triggers=[self.domain.id],
            ),
            pulumi.ResourceOptions(parent=parent, deleted_with=self.domain),
        )

    def _reserved(self, farm: Farm, plan: Plan, mac: str | None) -> list[pulumi.Resource]:
        """Return what keeps the VM's address for it, where the network is ours."""
        if plan.address is None or farm.network_id is None or mac is None:
            return []
        reservation = local.Command(
            f"{plan.name}-address",
            local.CommandArgs(
                create="exec python3 -m controller.dhcp_reservation set",
                delete="exec python3 -m controller.dhcp_reservation remove",
                environment={
                    "GATEHOUSE_URI": farm.config.hypervisor.uri,
                    "GATEHOUSE_NETWORK": farm.network_id,
                    "GATEHOUSE_MAC": mac,
                    "GATEHOUSE_ADDRESS": str(plan.address.ip),
                },
            ),
            pulumi.ResourceOptions(parent=self),
        )
        return [reservation]


def _seed_file(stack: str, name: str, user_data: str, network: str | None) -> str:
    """Write the image of the disk for cloud-init, and return its path; older ones of the VM go.

    The path tells the content, as libvirt's provider only looks at the path.
    """
    documents = {"user-data": user_data, "meta-data": cloudinit.meta_data(name)}
    if network is not None:
        documents["network-config"] = network
    path = key_folder(stack) / f"{name}-{digest(documents)}.qcow2"
    for older in path.parent.glob(f"{name}-{'?' * 16}.qcow2"):
        if older != path:
            older.unlink()
    return str(path) if path.exists() else write_private(path, seed.image(documents))


def record(
    made: Made, before: Made | None, generation: str, disk: str, domain: str
) -> dict[str, object]:
    """Return what ``components.data.inventory`` reads of a VM in the next run.

    Only what is true of the VM: an update with ``--target`` or ``--exclude`` may leave it as it is,
    and has it keep its outputs all the same.

    Args:
        made: What the config asks for.
        before: What the last run kept, if anything.
        generation: The one that the config asks for.
        disk: The name of the VM's disk now, be it new or not.
        domain: The id of its domain now.
    """
    known = {"generation": generation, "text": made.text, "reasons": dict(made.reasons)}
    same = before is not None and (before.disk, before.domain) == (disk, domain)
    if before is not None and same and before.generation:
        reasons = {**made.reasons, **before.reasons}
        known = {"generation": before.generation, "text": before.text, "reasons": reasons}
    return {**known, "disk": disk, "holds": made.holds}
