"""What exists, read from the stack's state.

Mostly from the outputs of the VMs and services; for a stack of a version without these outputs,
from the resources themselves. An output alone is only a plan: data can exist only if the volume, or
a container that mounts it, was created.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from components.config.models.farm import Farm
from components.config.units import MEBIBYTE, format_size
from components.data.inventory import NETWORK, STACK_NAME, Held, Inventory, Key, Place
from components.host.container_vm import farm_generation, first_boot_text
from components.placement import on_vm, volume_name
from components.vm.made import Made

UNKNOWN = "unknown"
"""For what an older version of Gatehouse did not keep."""


def kept(resources: Mapping[str, Any], farm: Farm) -> Inventory:
    """Return what there is, from a stack's state.

    Args:
        resources: Each resource's ``type`` and ``outputs``, by its URN.
        farm: The config, for stacks of older versions: to see whether it is what they were made of.
    """
    state = _State(resources)
    names = state.vms()
    vms = {name: made for name in names if (made := state.made(name, farm)) is not None}
    held = {(each.vm, *each.key): each for each in state.held(vms) if each.vm in vms}
    known = state.known_to_vms(vms)
    was_made = state.mounted(vms) | known.keys()
    real = [each for place, each in held.items() if place in was_made or state.was_made(each)]
    # A targeted destroy, or one that spares what is protected, has taken the service and no data.
    alone = [each for place, each in known.items() if place not in held]
    return Inventory(
        vms=vms,
        volumes=(*real, *alone),
        planned=tuple(each for each in held.values() if each not in real),
        missing=tuple(each for each in (*real, *alone) if state.lacks(each)),
        spreads={name: state.spread(name) for name in state.names(_SERVICE)},
        urns={name: state.protected(name) for name in vms},
        without_disk=frozenset(filter(state.has_lost_its_disk, names)),
        vanished=state.vanished(names),
    )


_VM = "gatehouse:vm:Vm"
_SERVICE = "gatehouse:service:Service"
_MOUNTED = "gatehouse:data:Mounted"
_EDGE = "gatehouse:edge:Edge"
DISK = "libvirt:index/volume:Volume"
_DOMAIN = "libvirt:index/domain:Domain"
VOLUME = "docker:index/volume:Volume"
_CONTAINER = "docker:index/container:Container"
_COMMAND = "command:local:Command"
_NO_PATH = "no path"


def outputs_of(resources: Mapping[str, Any]) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    """Return the outputs of each resource in a state, by its type and its name.

    Args:
        resources: Each resource's ``type`` and ``outputs``, by its URN.
    """
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for urn, resource in resources.items():
        found.setdefault(resource["type"], {})[_name(urn)] = resource.get("outputs") or {}
    return found


def _name(urn: str) -> str:
    return urn.split("::", 3)[3]


class _State:
    def __init__(self, resources: Mapping[str, Any]) -> None:
        self._outputs = outputs_of(resources)
        self._urns = {(each["type"], _name(urn)): urn for urn, each in resources.items()}
        # The commands too: a refresh drops containers that have vanished, but no commands.
        served = (name for name in self._outputs.get(_COMMAND, {}) if name.endswith("-serving"))
        slots = (*self._outputs.get(_CONTAINER, {}), *(each[: -len("-serving")] for each in served))
        self._used = {slot.rpartition("-")[0] for slot in slots}
        # Each VM's disk after the last successful update.
        self._complete: Mapping[str, Any] = self._of(_EDGE, "edge").get("disks") or {}
        # The folders that containers had then, by VM and service; older versions kept them there.
        self._had = {tuple(each) for each in self._of(_EDGE, "edge").get("folders") or ()}

    def names(self, kind: str) -> list[str]:
        return sorted(self._outputs.get(kind, {}))

    def vms(self) -> list[str]:
        """Return the names of the VMs: also of those whose component was renamed or removed."""
        disks = (name for name in self._outputs.get(DISK, {}) if name.endswith("-disk"))
        return sorted({*self.names(_VM), *(name.removesuffix("-disk") for name in disks)})

    def made(self, vm: str, farm: Farm) -> Made | None:
        """Return what a VM was made of; None if it was not made, or holds no containers."""
        disk = self._of(DISK, f"{vm}-disk")
        record = self._of(_VM, vm).get("made")
        number = vm.rpartition("-")[2]
        if not disk or not number.isdigit():
            return None
        if not record:
            return self._made_before(vm, disk, farm)
        its, now = str(record.get("disk") or ""), str(disk.get("name") or "")
        holds = self._holds(vm, its, str(record.get("holds") or ""))
        runs = bool(self._of(_DOMAIN, f"{vm}-domain"))
        return Made(
            reasons={str(key): str(value) for key, value in record["reasons"].items()},
            text=str(record["text"]),
            generation=str(record["generation"]),
            holds=holds,
            # Only the disk is new, or the VM is new too and has not come up.
            begun=(runs and bool(its and now) and its != now) or bool(holds and holds != its),
            disk=its,
            domain=str(self._of(_VM, vm).get("domain") or ""),
        )

    def _holds(self, vm: str, disk: str, before: str) -> str:
        """Return the disk that a VM's data is on.

        Args:
            vm: Its name.
            disk: The disk that it was last made with.
            before: The disk that its data was on before that.
        """
        if disk == self._complete.get(vm):
            return disk
        triggers = self._of(_COMMAND, f"{vm}-boot").get("triggers") or [None]
        came_up = triggers[0] == self._of(_VM, vm).get("domain")
        return before or (disk if came_up else "")

    def _made_before(self, vm: str, disk: Mapping[str, Any], farm: Farm) -> Made:
        """Return the same of a VM of a version that did not keep it."""
        domain = self._of(_DOMAIN, f"{vm}-domain")
        pool = self._of("libvirt:index/pool:Pool", "farm-pool").get("target") or {}
        capacity = self._of(_COMMAND, "farm-room").get("environment") or {}
        found = {
            "farm.image": self._of(DISK, "farm-image").get("source"),
            "farm.memory": _size(domain.get("memory"), MEBIBYTE),
            "farm.vcpus": _number(domain.get("vcpu")),
            "farm.disk": _size(disk.get("size"), 1),
            "farm.domain_type": domain.get("type"),
        }
        folder, _, stack = str(pool.get("path") or "").rpartition("/")
        found |= {"farm.hypervisors.0.pool": folder, STACK_NAME: stack}
        network = self._of("libvirt:index/network:Network", "farm-network").get("addresses")
        found[f"{NETWORK}cidr"] = network[0] if network else None
        now = farm_generation(str(disk.get("baseVolumeId")), farm)
        same = capacity.get("GATEHOUSE_GENERATION") == now
        return Made(
            reasons={key: str(value) for key, value in found.items() if value},
            text=first_boot_text(farm) if same else UNKNOWN,
            holds=str(disk.get("name") or ""),
        )

    def spread(self, service: str) -> Mapping[str, str]:
        """Return what placed a service's containers."""
        found = self._of(_SERVICE, service).get("spread") or {}
        return {str(key): str(value) for key, value in found.items()}

    def protected(self, vm: str) -> tuple[str, ...]:
        """Return the URNs of a VM's resources that the engine can protect."""
        parts = (
            *((_DOMAIN, "domain"), (DISK, "disk"), (DISK, "cloudinit")),
            (_COMMAND, "hostkey-keygen"),
        )
        found = (self._urns.get((kind, f"{vm}-{part}")) for kind, part in parts)
        return tuple(urn for urn in found if urn is not None)

    def has_lost_its_disk(self, vm: str) -> bool:
        """Whether its disk has vanished while its seed disk exists."""
        disks = self._outputs.get(DISK, {})
        return f"{vm}-cloudinit" in disks and f"{vm}-disk" not in disks

    def vanished(self, vms: Iterable[str]) -> Mapping[str, str]:
        """Return the disks with data that left the state, by their VMs."""
        mounted = {(vm, *key) for _, vm, key in self._recorded()}
        found = {}
        for vm in vms:
            if f"{vm}-disk" in self._outputs.get(DISK, {}):
                continue
            outputs = self._of(_VM, vm)
            records = [each for each in outputs.get("data") or () if not each["expendable"]]
            keys = {(vm, each["service"], each["place"], each["what"]) for each in records}
            if keys & mounted or any(each["made"] for each in records):
                made = outputs.get("made") or {}
                found[vm] = str(made.get("holds") or made.get("disk") or UNKNOWN)
        return found

    def was_made(self, held: Held) -> bool:
        """Whether there can be data in a volume: it, or a container that mounts it, was made."""
        if held.place == "name":
            return not self.lacks(held)
        used = on_vm(held.service, held.vm) in self._used
        return used or (held.vm, held.service, held.what) in self._had

    def mounted(self, vms: Mapping[str, Made]) -> set[tuple[str, *Key]]:
        """Return the volumes that containers had; the state may have neither of them any more."""
        return {
            (vm, *key)
            for disk, vm, key in self._recorded()
            if vm in vms and _is_there(disk, vms[vm])
        }

    def _recorded(self) -> Iterator[tuple[object, str, Key]]:
        """Yield the disk, the VM and the key of each volume that a container had."""
        for record in self._outputs.get(_MOUNTED, {}).values():
            for vm, service, place, what in record.get("volumes") or ():
                yield record["disk"], vm, (service, place, what)

    def lacks(self, held: Held) -> bool:
        """Whether the Docker volume is missing in the state; Docker itself may still have it."""
        name = volume_name(held.service, held.vm, held.what)
        return held.place == "name" and name not in self._outputs.get(VOLUME, {})

    def known_to_vms(self, vms: Mapping[str, Made]) -> Mapping[tuple[str, *Key], Held]:
        """Return the data that the VMs' own outputs record.

        It is the data on disks that still exist, and all data of a service that has left the state.
        Without the edge's outputs, planned volumes may exist too.
        """
        services = self._outputs.get(_SERVICE, {})
        found = {}
        for outputs in self._outputs.get(_VM, {}).values():
            for record in outputs.get("data") or ():
                held = _from_record({key: record[key] for key in record if key != "made"})
                if held.vm not in vms:
                    continue
                unknown = held.service not in services or _EDGE not in self._outputs
                if unknown or _is_there(record["made"], vms[held.vm]):
                    found[held.vm, *held.key] = held
        return found

    def held(self, vms: Iterable[str]) -> Iterator[Held]:
        """Yield all volumes, from the services' outputs or else from the resources."""
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
            for name, outputs in self._outputs.get(VOLUME, {}).items():
                if name.startswith(start):
                    path = self._mounted(start, str(outputs.get("name")))
                    yield _unkept(service, vm, "name", name.removeprefix(start), path)
            for mount in self._mounts(start):
                if mount.get("hostPath"):
                    path = str(mount.get("containerPath"))
                    yield _unkept(service, vm, "host", str(mount["hostPath"]), path)

    def _mounts(self, start: str) -> Iterator[Mapping[str, Any]]:
        for name, outputs in self._outputs.get(_CONTAINER, {}).items():
            if name.startswith(start) and name.removeprefix(start).isdigit():
                yield from outputs.get("volumes") or ()

    def _mounted(self, start: str, volume: str) -> str:
        found = (each for each in self._mounts(start) if each.get("volumeName") == volume)
        return str(next((each.get("containerPath") for each in found), _NO_PATH))

    def _of(self, kind: str, name: str) -> Mapping[str, Any]:
        return self._outputs.get(kind, {}).get(name, {})


def _is_there(made: object, vm: Made) -> bool:
    """Whether data that was made is on one of a VM's disks.

    Args:
        made: The name of the disk that it was made on, or, as older versions of Gatehouse kept it,
            whether it was made.
        vm: What the VM is made of.
    """
    return made in (vm.disk, vm.holds) if isinstance(made, str) and vm.disk else bool(made)


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
