"""The data on each VM, and the values that each VM is made from, according to the config.

`components.data.state` reads what exists from the state. Each VM and each service keeps its part
there as an output (`components.vm.made.Made`, `Held`), so that it is true even after a failed
update.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from components.config.models.farm import Farm
from components.config.models.service import Service, Volume
from components.config.models.stack import Stack
from components.config.units import format_size
from components.host.container_vm import first_boot_text
from components.placement import vm_names
from components.vm.made import Made

STACK_NAME = "the stack's name"
"""Among a VM's reasons, beside paths of keys."""
NETWORK = "farm.network."
TEXT_KEYS = ("farm.packages", "farm.install_docker", "farm.registry_mirror")
"""What of the config is in the text that VMs get at their first boot."""
Place = Literal["name", "host"]
Key = tuple[str, Place, str]
"""The service, and what it is."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """A service's volume on one VM."""

    service: str
    vm: str
    place: Place
    """Whether it is a Docker volume by its name, or a folder of the VM."""
    what: str
    """The name, or the folder's path."""
    path: str
    """Where the container sees it."""
    index: int | None
    """Its index among the service's volumes, from 0; None if the state does not have it."""
    expendable: bool

    @property
    def key(self) -> Key:
        """What it is, on whichever VM."""
        return (self.service, self.place, self.what)


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """The VMs of a farm and the volumes on them."""

    vms: Mapping[str, Made]
    volumes: tuple[Held, ...]
    spreads: Mapping[str, Mapping[str, str]]
    """What places each service's containers: the values, by the paths of their keys."""
    planned: tuple[Held, ...] = ()
    """Volumes that an update planned and did not make: they hold nothing."""
    missing: tuple[Held, ...] = ()
    """The created volumes whose Docker volume is not in the state."""
    urns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The URNs of the resources of each VM that the engine can protect."""
    without_disk: frozenset[str] = frozenset()
    """The VMs whose disk has vanished while their seed disk exists."""
    vanished: Mapping[str, str] = field(default_factory=dict)
    """The disks with data that left the state, by their VMs."""

    @property
    def data(self) -> frozenset[str]:
        """The VMs that hold a volume that is not expendable."""
        return frozenset(each.vm for each in self.volumes if not each.expendable)


def wanted(stack: Stack, name: str, placement: Mapping[str, Mapping[str, int]]) -> Inventory:
    """Return what a config asks for.

    Args:
        stack: The config.
        name: The stack's name.
        placement: How many containers each VM runs, by service.
    """
    text = first_boot_text(stack.farm)
    names = vm_names(stack.farm.name, stack.farm.vms)
    return Inventory(
        vms={
            vm: Made(reasons=_reasons(stack.farm, name, index), text=text)
            for index, vm in enumerate(names)
        },
        volumes=tuple(
            held
            for service, spec in stack.services.items()
            for vm in placement[service]
            for held in volumes_of(service, spec, vm)
        ),
        spreads={service: _spread(service, spec) for service, spec in stack.services.items()},
    )


def _spread(name: str, spec: Service) -> dict[str, str]:
    vms = spec.placement.vms
    return {
        f"services.{name}.replicas": str(spec.replicas),
        f"services.{name}.placement.vms": "all" if vms is None else ", ".join(vms),
    }


def volumes_of(service: str, spec: Service, vm: str) -> tuple[Held, ...]:
    """Return a service's volumes on a VM, one for each name and folder.

    What the service mounts twice is expendable if both places say so.
    """
    found: dict[Key, Held] = {}
    for index, volume in enumerate(spec.volumes):
        held = _held(service, vm, index, volume)
        first = found.get(held.key)
        if first is None or first.expendable:
            found[held.key] = held
    return tuple(found.values())


def _held(service: str, vm: str, index: int, volume: Volume) -> Held:
    return Held(
        service=service,
        vm=vm,
        place="name" if volume.name is not None else "host",
        what=volume.name or volume.host or "",
        path=volume.path,
        index=index,
        expendable=volume.expendable,
    )


def _reasons(farm: Farm, stack: str, index: int) -> Mapping[str, str]:
    network = farm.network
    reasons = {
        STACK_NAME: stack,
        "farm.hypervisors.0.pool": farm.hypervisor.pool,
        "farm.image": farm.image,
        "farm.memory": format_size(farm.memory),
        "farm.vcpus": str(farm.vcpus),
        "farm.disk": format_size(farm.disk),
        "farm.domain_type": farm.domain_type,
        "farm.packages": ", ".join(sorted(farm.packages)) or "none",
        "farm.install_docker": str(farm.install_docker).lower(),
        "farm.registry_mirror": farm.registry_mirror or "none",
        f"{NETWORK}bridge": network.bridge or "none",
        f"{NETWORK}macs.{index}": network.macs[index] if network.macs else "none",
    }
    if network.bridge is None:
        reasons[f"{NETWORK}cidr"] = str(farm.cidr)
    else:  # a static address is written at the first boot
        reasons |= {
            f"{NETWORK}addresses.{index}": str(network.addresses[index]),
            f"{NETWORK}gateway": str(network.gateway),
            f"{NETWORK}dns": ", ".join(network.dns) or "none",
        }
    return reasons


def kept_of_vm(before: Inventory, after: Inventory) -> Mapping[str, tuple[dict[str, Any], ...]]:
    """Return the data of each VM, for its outputs: they outlive those of a service.

    Args:
        before: What there is.
        after: What the config asks for.
    """
    made = {(each.vm, *each.key) for each in before.volumes}
    disks = {vm: each.holds or each.disk or True for vm, each in before.vms.items()}
    return {
        vm: tuple(
            {**asdict(each), "made": (vm, *each.key) in made and disks[vm]}
            for each in after.volumes
            if each.vm == vm
        )
        for vm in after.vms
    }


def kept_of_service(spec: Service, name: str, vms: Iterable[str]) -> dict[str, Any]:
    """Return the outputs of a service that `kept` reads."""
    return {
        "spread": _spread(name, spec),
        "data": [asdict(held) for vm in vms for held in volumes_of(name, spec, vm)],
    }
