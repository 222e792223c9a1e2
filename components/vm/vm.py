"""A VM: disk, cloud-init and domain as one unit, ready when its role says so.

Unless its spec has an address, libvirt's DHCP server gives it one at boot. The domain resource does
not wait for that. The boot gate does, because it can see on the console why a VM does not come up.
"""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_libvirt as libvirt
from pulumi_command import local

from components.config.models.farm import Network
from components.config.units import MEBIBYTE
from components.vm import cloudinit, seed
from components.vm.addresses import mac_address, static_address
from components.vm.digest import digest
from components.vm.farm import Farm
from components.vm.keys import KeyPair, written
from components.vm.made import Made, record
from components.vm.vm_spec import VmSpec
from controller.key_files import key_folder, write_private
from controller.ssh import SSH_USER, known_hosts_line, options
from remote.archive import VM_FIREWALL, version
from remote.vm_firewall.grant import Grant

# sudo's own environment lacks the variable. The VM's shell puts in its value.
_AS_ROOT = shlex.join(("sudo", "--non-interactive", "env", 'SSH_CONNECTION="$SSH_CONNECTION"'))


@dataclass(frozen=True, kw_only=True)
class VmArgs:
    """Arguments of ``Vm``."""

    farm: Farm
    spec: VmSpec
    after: Sequence[pulumi.Resource] = ()
    """The resource that has to exist before the VM is created or replaced."""
    made: Made | None = None
    """The values that the VM is made from, for the state; None for a VM that cannot hold data."""
    before: Made | None = None
    """The values that the last run recorded; None if there are none."""
    data: Sequence[Mapping[str, Any]] = ()
    """The record of the data on the VM, for the state."""
    stays: bool = False
    """Whether it keeps the first-boot text that ``made.generation`` stands for."""
    protect: bool = False
    """Whether the engine has to refuse its deletion, as it holds data."""
    seed_goes: bool = False
    """Whether its seed disk is replaced despite ``protect``, because its disk has vanished."""


class Vm(pulumi.ComponentResource):
    """One VM of a farm."""

    name: str
    spec: VmSpec
    domain: libvirt.Domain
    """The resource that containers are ``deleted_with``; each new VM has a new id."""
    address: pulumi.Output[str]
    """The VM's IPv4 address, known only when it is ready."""
    volume: libvirt.Volume
    """Its disk."""
    disk: pulumi.Output[str]
    """The name of its disk, in the pool."""
    docker_host: pulumi.Output[str]
    ssh_options: pulumi.Output[list[str]]
    """How ``ssh`` reaches the VM with its host key verified."""
    ssh_command: pulumi.Output[str]
    """The same as a shell command, to which the remote command is appended."""

    def __init__(self, name: str, args: VmArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("gatehouse:vm:Vm", name, None, opts)
        self.name = name
        self.spec = args.spec
        self._farm = args.farm
        stack = pulumi.get_stack()
        card = _card(args.spec, args.farm.config.network, stack)
        host_key = KeyPair(
            f"{name}-hostkey", name, pulumi.ResourceOptions(parent=self), keep=args.protect
        )
        user_data = self._user_data(host_key)
        generation = self._generation(args, user_data, card)
        unit = pulumi.ResourceOptions(
            parent=self,
            provider=args.farm.provider,
            # The provider replaces only the one whose own inputs changed, and would boot a new
            # domain from the old one's disk while that still runs.
            replacement_trigger=generation,
            depends_on=[args.farm.capacity, *args.after, *self._reservation(card)],
        )
        # The engine then also keeps the resources that these depend on.
        data = pulumi.ResourceOptions.merge(
            unit, pulumi.ResourceOptions(protect=args.protect or None)
        )
        disk = self._disk(data)
        self.volume, self.disk = disk, disk.name
        seed_disk = self._seed_disk(
            args,
            user_data.apply(lambda text: _seed_file(stack, name, text, card.config)),
            pulumi.Output.all(generation, disk.id),
            unit if args.seed_goes else data,  # no VM starts without its seed disk
        )
        self.domain = self._new_domain(card, (disk, seed_disk), data)
        known_hosts = written(
            key_folder(stack) / f"{name}.known_hosts",
            host_key.public_key.apply(lambda key: known_hosts_line(name, key)),
        )
        printed = self._gate(known_hosts).stdout
        self.address = printed.apply(lambda line: line.partition(" ")[0].strip())
        self.docker_host = pulumi.Output.concat("ssh://", SSH_USER, "@", self.address)
        self.ssh_options = pulumi.Output.all(args.farm.ssh_key_file, known_hosts).apply(
            lambda files: list(options(key_file=files[0], known_hosts=files[1], host=name))
        )
        self.ssh_command = pulumi.Output.all(self.ssh_options, self.address).apply(
            lambda parts: shlex.join(("ssh", *parts[0], f"{SSH_USER}@{parts[1]}"))
        )
        self.register_outputs(self._kept(args, generation))

    def _user_data(self, host_key: KeyPair) -> pulumi.Output[str]:
        config = self._farm.config
        return pulumi.Output.all(
            self._farm.ssh_key.public_key, host_key.private_key, host_key.public_key
        ).apply(lambda keys: cloudinit.user_data(cloudinit.guest(self.spec, config, keys=keys)))

    def _generation(
        self, args: VmArgs, user_data: pulumi.Output[str], card: "_Card"
    ) -> pulumi.Output[str]:
        """Return a digest of all that replaces the VM when it changes."""
        if args.made is not None and args.stays:
            return pulumi.Output.from_input(args.made.generation)
        spec = self.spec
        kept: tuple[object, ...] = () if card.mac is None else (card.mac,)
        if spec.address is not None:
            kept = (card.config, card.mac, str(spec.address))
        return pulumi.Output.unsecret(
            pulumi.Output.all(self._farm.base_image_id, user_data).apply(
                lambda parts: digest(*parts, *spec.size, *kept)
            )
        )

    def _disk(self, opts: pulumi.ResourceOptions) -> libvirt.Volume:
        return libvirt.Volume(
            f"{self.name}-disk",
            libvirt.VolumeArgs(
                pool=self._farm.pool,
                base_volume_id=self._farm.base_image_id,
                size=self.spec.disk,
                format="qcow2",
            ),
            opts,
        )

    def _seed_disk(
        self,
        args: VmArgs,
        file: pulumi.Output[str],
        trigger: pulumi.Output[list[str]],
        opts: pulumi.ResourceOptions,
    ) -> libvirt.Volume:
        """Return the disk that cloud-init reads.

        Args:
            args: The VM's arguments.
            file: The image's path.
            trigger: A change replaces the seed disk: a new disk has not run cloud-init yet, and
                the seed disk of the previous one has been wiped.
            opts: The resource's options.
        """
        return libvirt.Volume(
            f"{self.name}-cloudinit",
            libvirt.VolumeArgs(
                pool=self._farm.pool, source=pulumi.Output.unsecret(file), format="qcow2"
            ),
            pulumi.ResourceOptions.merge(
                opts,
                pulumi.ResourceOptions(
                    replacement_trigger=trigger,
                    ignore_changes=["source"] if args.stays else None,
                ),
            ),
        )

    def _new_domain(
        self, card: "_Card", disks: Sequence[libvirt.Volume], opts: pulumi.ResourceOptions
    ) -> libvirt.Domain:
        spec, bridge = self.spec, self._farm.config.network.bridge
        return libvirt.Domain(
            f"{self.name}-domain",
            libvirt.DomainArgs(
                type=spec.domain_type,
                vcpu=spec.vcpus,
                memory=spec.memory // MEBIBYTE,
                cpu=libvirt.DomainCpuArgs(
                    mode="host-passthrough" if spec.domain_type == "kvm" else "maximum"
                ),
                disks=[libvirt.DomainDiskArgs(volume_id=each.id) for each in disks],
                network_interfaces=[
                    libvirt.DomainNetworkInterfaceArgs(
                        network_id=self._farm.network_id, bridge=bridge, mac=card.mac
                    )
                ],
                consoles=[
                    libvirt.DomainConsoleArgs(type="pty", target_type="serial", target_port="0")
                ],
                autostart=True,
            ),
            pulumi.ResourceOptions.merge(
                opts,
                # Two VMs cannot share an address, nor a MAC address for DHCP; the other
                # VMs serve meanwhile.
                pulumi.ResourceOptions(delete_before_replace=card.mac is not None or None),
            ),
        )

    def _gate(self, known_hosts: pulumi.Output[str]) -> local.Command:
        """Return the command that ends when the VM is ready, and prints its address."""
        config, spec = self._farm.config, self.spec
        return local.Command(
            f"{self.name}-boot",
            local.CommandArgs(
                create="exec python3 -m controller.boot wait",
                delete="exec python3 -m controller.boot shutdown",
                environment={
                    "GATEHOUSE_URI": config.hypervisor.uri,
                    "GATEHOUSE_ADDRESS": str(spec.address.ip) if spec.address else "",
                    "GATEHOUSE_DOMAIN": self.domain.id,
                    "GATEHOUSE_VM": self.name,
                    "GATEHOUSE_READY": spec.role.ready,
                    "GATEHOUSE_WAITS_FOR": spec.role.waits_for,
                    "GATEHOUSE_DRAIN": spec.role.drain or "",
                    "GATEHOUSE_KEY_FILE": self._farm.ssh_key_file,
                    "GATEHOUSE_KNOWN_HOSTS": known_hosts,
                    "GATEHOUSE_BOOT_TIMEOUT": str(config.boot_timeout),
                    "GATEHOUSE_DRAIN_TIMEOUT": str(config.drain_timeout),
                    "GATEHOUSE_SHUTDOWN_TIMEOUT": str(config.shutdown_timeout),
                },
                triggers=[self.domain.id],
            ),
            pulumi.ResourceOptions(
                parent=self,
                custom_timeouts=pulumi.CustomTimeouts(
                    create=f"{config.boot_timeout + 60}s",
                    delete=f"{2 * config.drain_timeout + config.shutdown_timeout + 120}s",
                ),
            ),
        )

    def _kept(
        self, args: VmArgs, generation: pulumi.Output[str]
    ) -> Mapping[str, pulumi.Input[Any]]:
        """Return the outputs, of which the next run reads all but the address."""
        if (made := args.made) is None:
            return {"address": self.address}
        # Written with the domain, not when the VM is ready: a VM that fails later exists too.
        known = pulumi.Output.all(generation, self.disk, self.domain.id).apply(
            lambda now: record(made, args.before, *now)
        )
        return {"made": known, "domain": self.domain.id, "data": list(args.data)}

    def admit(self, name: str, grant: Grant, *, parent: pulumi.Resource) -> pulumi.Resource:
        """Return a resource that adds a grant to the VM's firewall until it is deleted.

        A changed grant is a new resource, so that it is added before the old one is removed.

        Args:
            name: The beginning of the resource's name.
            grant: Access besides SSH, which the farm's config defines.
            parent: The component that needs it.
        """
        text = dataclasses.replace(grant, ssh=self._farm.ssh_from).to_json()
        known_as = f"{name}-{digest(text)[:8]}"
        run = f"python3 -m controller.ship {VM_FIREWALL}"
        # The output of the last allow; empty at the creation.
        printed = '--printed "$PULUMI_COMMAND_STDOUT"'
        return local.Command(
            known_as,
            local.CommandArgs(
                create=f"exec {run} allow {known_as} {shlex.quote(text)} {printed}",
                # 255 is ssh's own code: the VM cannot be reached, by nobody.
                delete=f"{run} forbid {known_as} {printed} || [ $? = 255 ]",
                environment={
                    "GATEHOUSE_SSH": self.ssh_command.apply(lambda ssh: f"{ssh} {_AS_ROOT}"),
                    # A new version of the firewall has to be sent there.
                    "GATEHOUSE_VM_FIREWALL": version(VM_FIREWALL),
                },
                logging=local.Logging.STDERR,  # nobody has to read a mark
                triggers=[self.domain.id],
            ),
            pulumi.ResourceOptions(parent=parent, deleted_with=self.domain),
        )

    def _reservation(self, card: "_Card") -> list[pulumi.Resource]:
        """Return the reservation of the VM's address, in Gatehouse's own network."""
        farm, spec = self._farm, self.spec
        if spec.address is None or farm.network_id is None or card.mac is None:
            return []
        reservation = local.Command(
            f"{spec.name}-address",
            local.CommandArgs(
                create="exec python3 -m controller.dhcp_reservation set",
                delete="exec python3 -m controller.dhcp_reservation remove",
                environment={
                    "GATEHOUSE_URI": farm.config.hypervisor.uri,
                    "GATEHOUSE_NETWORK": farm.network_id,
                    "GATEHOUSE_MAC": card.mac,
                    "GATEHOUSE_ADDRESS": str(spec.address.ip),
                },
            ),
            # Both would be the same entry, which the old command then removes.
            pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        return [reservation]


@dataclass(frozen=True, kw_only=True)
class _Card:
    """A VM's network card."""

    mac: str | None
    """None where libvirt generates one."""
    config: str | None
    """cloud-init's ``network-config``; None where DHCP configures it."""


def _card(spec: VmSpec, network: Network, stack: str) -> _Card:
    static = static_address(spec, network, stack)
    config = cloudinit.network_config(static) if static is not None else None
    return _Card(mac=mac_address(spec, stack), config=config)


def _seed_file(stack: str, name: str, user_data: str, network: str | None) -> str:
    """Write the image of the disk for cloud-init, and return its path; older ones of the VM go.

    The path has a digest of the content, because libvirt's provider compares paths only.
    """
    documents = {"user-data": user_data, "meta-data": cloudinit.meta_data(name)}
    if network is not None:
        documents["network-config"] = network
    path = key_folder(stack) / f"{name}-{digest(documents)}.qcow2"
    for older in path.parent.glob(f"{name}-{'?' * 16}.qcow2"):
        if older != path:
            older.unlink()
    return str(path) if path.exists() else write_private(path, seed.image(documents))
