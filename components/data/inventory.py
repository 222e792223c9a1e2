"""Which data is on which VM, and what each VM is made of: as wanted, and as kept.

What is wanted comes from the config alone. What is there comes from the state: each VM and each
service keeps its part as an output (`Made`, `Held`), so that an update that fails half-way leaves
what is true. Of a stack from a version that kept none, it is read off the resources themselves.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from components.models.farm import Farm
from components.models.service import Service, Volume
from components.models.stack import Stack
from components.placement import vm_names
from components.units import MEBIBYTE, format_size
from components.vm.generation import farm_generation, first_boot_text

STACK_NAME = "the stack's name"
"""Among a VM's reasons, beside paths of keys."""
NETWORK = "farm.network."
TEXT_KEYS = ("farm.packages", "farm.install_docker", "farm.registry_mirror")
"""What of the config is in the text that VMs get at their first boot."""
UNKNOWN = "unknown"
"""For what an older version of Gatehouse did not keep."""

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
    """Its number among the service's volumes, from 0; None if that was not kept."""
    expendable: bool

    @property
    def key(self) -> Key:
        """What it is, on whichever VM."""
        return (self.service, self.place, self.what)


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a VM was made of, or is to be."""

    reasons: Mapping[str, str]
    """What of the config replaces it when it changes: the values, by the paths of their keys."""
    text: str
    """A digest of the text that it got at its first boot."""
    generation: str = ""
    """A digest of all of it, which the engine compares; empty where that is not known."""
    begun: bool = False
    """Whether an update that failed has replaced its disk and not yet the VM, which still runs from
    the old one: the engine goes on with that, and deletes the old one, whatever the config says."""


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """The VMs of a farm and the volumes on them."""

    vms: Mapping[str, Made]
    volumes: tuple[Held, ...]
    spreads: Mapping[str, Mapping[str, str]]
    """What places each service's containers: the values, by the paths of their keys."""

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
        # Another bridge is changed in place; a static address is written at the first boot.
        f"{NETWORK}bridge": "none" if network.bridge is None else "given",
    }
    if network.bridge is not None:
        reasons |= {
            f"{NETWORK}addresses.{index}": str(network.addresses[index]),
            f"{NETWORK}gateway": str(network.gateway),
            f"{NETWORK}dns": ", ".join(network.dns) or "none",
            f"{NETWORK}macs.{index}": network.macs[index] if network.macs else "none",
        }
    return reasons


def kept_of_service(spec: Service, name: str, vms: Iterable[str]) -> dict[str, Any]:
    """Return the outputs of a service that `kept` reads."""
    return {
        "spread": _spread(name, spec),
        "data": [asdict(held) for vm in vms for held in volumes_of(name, spec, vm)],
    }


def kept(resources: Mapping[str, Any], farm: Farm) -> Inventory:
    """Return what there is, from a stack's state.

    Args:
        resources: Each resource's ``type`` and ``outputs``, by its URN.
        farm: The config, for stacks of older versions: to see whether it is what they were made of.
    """
    state = _State(resources)
    vms = {name: made for name in state.names(_VM) if (made := state.made(name, farm)) is not None}
    # What a service says of a VM that was never made is a plan.
    return Inventory(
        vms=vms,
        volumes=tuple(held for held in state.held(vms) if held.vm in vms),
        spreads={name: state.spread(name) for name in state.names(_SERVICE)},
    )


_VM = "gatehouse:vm:Vm"
_SERVICE = "gatehouse:service:Service"
_DISK = "libvirt:index/volume:Volume"
_NO_PATH = "no path"


class _State:
    def __init__(self, resources: Mapping[str, Any]) -> None:
        self._outputs: dict[str, dict[str, Mapping[str, Any]]] = {}
        for urn, resource in resources.items():
            name = urn.split("::", 3)[3]
            self._outputs.setdefault(resource["type"], {})[name] = resource.get("outputs") or {}

    def names(self, kind: str) -> list[str]:
        return sorted(self._outputs.get(kind, {}))

    def made(self, vm: str, farm: Farm) -> Made | None:
        """Return what a VM was made of; None if it was not made, or holds no containers."""
        disk = self._of(_DISK, f"{vm}-disk")
        record = self._of(_VM, vm).get("made")
        number = vm.rpartition("-")[2]
        if not disk or not number.isdigit():
            return None
        if record:
            its, now = record.get("disk"), disk.get("name")
            runs = bool(self._of("libvirt:index/domain:Domain", f"{vm}-domain"))
            return Made(
                reasons={str(key): str(value) for key, value in record["reasons"].items()},
                text=str(record["text"]),
                generation=str(record["generation"]),
                begun=runs and None not in (its, now) and its != now,
            )
        return self._made_before(vm, disk, farm)

    def _made_before(self, vm: str, disk: Mapping[str, Any], farm: Farm) -> Made:
        """Return the same of a VM of a version that did not keep it."""
        domain = self._of("libvirt:index/domain:Domain", f"{vm}-domain")
        pool = self._of("libvirt:index/pool:Pool", "farm-pool").get("target") or {}
        room = self._of("command:local:Command", "farm-room").get("environment") or {}
        found = {
            "farm.image": self._of(_DISK, "farm-image").get("source"),
            "farm.memory": _size(domain.get("memory"), MEBIBYTE),
            "farm.vcpus": _number(domain.get("vcpu")),
            "farm.disk": _size(disk.get("size"), 1),
            "farm.domain_type": domain.get("type"),
        }
        folder, _, stack = str(pool.get("path") or "").rpartition("/")
        found |= {"farm.hypervisors.0.pool": folder, STACK_NAME: stack}
        now = farm_generation(str(disk.get("baseVolumeId")), farm)
        same = room.get("GATEHOUSE_GENERATION") == now
        return Made(
            reasons={key: str(value) for key, value in found.items() if value},
            text=first_boot_text(farm) if same else UNKNOWN,
        )

    def spread(self, service: str) -> Mapping[str, str]:
        """Return what placed a service's containers."""
        found = self._of(_SERVICE, service).get("spread") or {}
        return {str(key): str(value) for key, value in found.items()}

    def held(self, vms: Iterable[str]) -> Iterator[Held]:
        """Yield all volumes: as the services kept them, else as their resources tell."""
        for service in self.names(_SERVICE):
            records = self._of(_SERVICE, service).get("data")
            if records is not None:
                yield from (_from_record(record) for record in records)
            else:
                seen = {(each.vm, *each.key): each for each in self._seen(service, vms)}
                yield from seen.values()

    def _seen(self, service: str, vms: Iterable[str]) -> Iterator[Held]:
        for vm in vms:
            start = f"{service}-{vm}-"
            for name, outputs in self._outputs.get("docker:index/volume:Volume", {}).items():
                if name.startswith(start):
                    path = self._mounted(start, str(outputs.get("name")))
                    yield _unkept(service, vm, "name", name.removeprefix(start), path)
            for mount in self._mounts(start):
                if mount.get("hostPath"):
                    path = str(mount.get("containerPath"))
                    yield _unkept(service, vm, "host", str(mount["hostPath"]), path)

    def _mounts(self, start: str) -> Iterator[Mapping[str, Any]]:
        for name, outputs in self._outputs.get("docker:index/container:Container", {}).items():
            if name.startswith(start) and name.removeprefix(start).isdigit():
                yield from outputs.get("volumes") or ()

    def _mounted(self, start: str, volume: str) -> str:
        found = (each for each in self._mounts(start) if each.get("volumeName") == volume)
        return str(next((each.get("containerPath") for each in found), _NO_PATH))

    def _of(self, kind: str, name: str) -> Mapping[str, Any]:
        return self._outputs.get(kind, {}).get(name, {})


def _from_record(record: Mapping[str, Any]) -> Held:
    # The state knows no whole numbers.
    index = record["index"]
    return Held(**{**record, "index": None if index is None else int(index)})


def _unkept(service: str, vm: str, place: Place, what: str, path: str) -> Held:
    return Held(
        service=service, vm=vm, place=place, what=what, path=path, index=None, expendable=False
    )


def _size(value: object, unit: int) -> str | None:
    return format_size(int(value) * unit) if isinstance(value, int | float) and value else None


def _number(value: object) -> str | None:
    return str(int(value)) if isinstance(value, int | float) and value else None
