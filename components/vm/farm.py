"""What a farm's VMs share: the hypervisor, a storage pool, a network, the image and the SSH key."""

from collections.abc import Callable
from dataclasses import dataclass

import pulumi
import pulumi_libvirt as libvirt
from pulumi_command import local

from components.config.models.edge import EdgeVm
from components.config.models.farm import Farm as FarmConfig
from components.vm.keys import KeyPair, written
from controller.key_files import key_folder


@dataclass(frozen=True, kw_only=True)
class FarmArgs:
    """Arguments of ``Farm``."""

    config: FarmConfig
    ssh_from: tuple[str, ...]
    """The networks from which the VMs answer SSH."""
    generation: Callable[[str], str]
    """Takes the image's id; returns a digest of everything whose change replaces all VMs."""
    edge: EdgeVm | None = None
    """The edge VM, if there is one: it needs memory too."""
    staying: int = 0
    """How many VMs keep the first-boot text of an older version of Gatehouse."""
    protect: bool = False
    """Whether Pulumi has to refuse to delete the image: disks with data are layers on it."""
    keep_key: bool = False
    """Whether Pulumi has to refuse a new SSH key, because VMs with data would not accept it."""


class Farm(pulumi.ComponentResource):
    """The resources that VMs share; it creates no VM itself."""

    provider: libvirt.Provider
    config: FarmConfig
    ssh_from: tuple[str, ...]
    pool: pulumi.Output[str]
    """The name of the storage pool."""
    network_id: pulumi.Output[str] | None
    """None where the VMs are on an existing bridge."""
    base_image_id: pulumi.Output[str]
    """The volume on which all disks are copy-on-write layers."""
    capacity: pulumi.Resource
    """The memory check, which fails if the next VMs do not fit on the hypervisor."""
    ssh_key: KeyPair
    ssh_key_file: pulumi.Output[str]
    """Where the private key is readable for ``ssh``, relative to the program's folder."""

    def __init__(
        self, name: str, args: FarmArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("gatehouse:vm:Farm", name, None, opts)
        self.config = args.config
        self.ssh_from = args.ssh_from
        self.provider = libvirt.Provider(
            f"{name}-libvirt",
            libvirt.ProviderArgs(uri=args.config.hypervisor.uri),
            pulumi.ResourceOptions(parent=self),
        )
        here = pulumi.ResourceOptions(parent=self, provider=self.provider)
        pool = libvirt.Pool(
            f"{name}-pool",
            libvirt.PoolArgs(
                type="dir",
                target=libvirt.PoolTargetArgs(
                    path=f"{args.config.hypervisor.pool}/{pulumi.get_stack()}"
                ),
            ),
            here,
        )
        self.network_id = self._network(name, here)
        image = libvirt.Volume(
            f"{name}-image",
            libvirt.VolumeArgs(pool=pool.name, source=args.config.image, format="qcow2"),
            pulumi.ResourceOptions.merge(
                here, pulumi.ResourceOptions(protect=args.protect or None)
            ),
        )
        self.capacity = self._capacity(name, args, image)
        self.pool = pool.name
        self.base_image_id = image.id
        self.ssh_key = KeyPair(
            f"{name}-ssh",
            f"gatehouse-{pulumi.get_stack()}",
            pulumi.ResourceOptions(parent=self),
            keep=args.keep_key,
        )
        self.ssh_key_file = written(
            key_folder(pulumi.get_stack()) / "id_ed25519", self.ssh_key.private_key
        )
        self.register_outputs({"pool": self.pool})

    def _network(self, name: str, here: pulumi.ResourceOptions) -> pulumi.Output[str] | None:
        """Return the id of a network for the VMs; None where they are on an existing bridge."""
        if self.config.network.bridge is not None:
            return None
        return libvirt.Network(
            f"{name}-network",
            libvirt.NetworkArgs(
                mode="nat",
                addresses=[str(self.config.cidr)],
                dhcp=libvirt.NetworkDhcpArgs(enabled=True),
                dns=libvirt.NetworkDnsArgs(enabled=True),
                autostart=True,
            ),
            here,
        ).id

    def _capacity(self, name: str, args: FarmArgs, image: libvirt.Volume) -> pulumi.Resource:
        """Return the command that fails if the hypervisor lacks memory for the next VMs."""
        return local.Command(
            f"{name}-room",
            local.CommandArgs(
                create="exec python3 -m controller.capacity",
                environment={
                    "GATEHOUSE_URI": args.config.hypervisor.uri,
                    "GATEHOUSE_GENERATION": image.id.apply(args.generation),
                    "GATEHOUSE_VMS": str(args.config.vms),
                    "GATEHOUSE_MEMORY": str(args.config.memory),
                    **({"GATEHOUSE_EDGE_MEMORY": str(args.edge.memory)} if args.edge else {}),
                    **({"GATEHOUSE_STAYING": str(args.staying)} if args.staying else {}),
                },
            ),
            pulumi.ResourceOptions(parent=self),
        )
