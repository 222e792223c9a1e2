"""Warns of data whose volume or disk is in the state, and which Pulumi creates again all the same.

`components.data.check` reads the state that the backend has. `--refresh` changes it only after
that, `--replace` is no part of it, and the program has access to neither option. But it sees what
the engine does: a resource that is created has no id in a preview, and another name afterwards.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from components.data.inventory import Inventory
from components.data.state import DISK, VOLUME, outputs_of
from components.placement import volume_name

_HOW = "because of `--replace` or because {program} did not list it during `--refresh`"
_STOP = "do not continue, and see docs/operations.md, Data on VMs"


@dataclass(frozen=True, kw_only=True)
class MustStay:
    """A volume or disk that has to stay."""

    name: str
    """Its name in Docker or libvirt; empty if the state does not have it."""
    warning: str


def kept(
    before: Inventory, after: Inventory, resources: Mapping[str, Any]
) -> Mapping[str, MustStay]:
    """Return the volumes and disks with data, by the names of their resources.

    Call it only if no data would be deleted.

    Args:
        before: What there is.
        after: What the config asks for.
        resources: The type and outputs of each resource in the state, by its URN.
    """
    outputs = outputs_of(resources)
    disks, volumes = outputs.get(DISK, {}), outputs.get(VOLUME, {})
    now = {(each.vm, *each.key): each for each in after.volumes if not each.expendable}
    found = {}
    for old in before.volumes:
        if (held := now.get((old.vm, *old.key))) is None:
            continue
        disk = f"{held.vm}-disk"
        if disk in disks:
            name = _name(disks[disk])
            found[disk] = MustStay(name=name, warning=_disk(held.vm, name, after))
        resource = volume_name(held.service, held.vm, held.what)
        if held.place == "name" and resource in volumes:
            name = _name(volumes[resource])
            path = f"services.{held.service}.volumes.{held.index}"
            found[resource] = MustStay(name=name, warning=_volume(path, held.what, held.vm, name))
    return found


def watch(kept: Mapping[str, MustStay], made: Iterable[pulumi.CustomResource]) -> None:
    """Warn of each volume or disk that has to stay and is created again.

    Args:
        kept: What has to stay, by the names of the resources.
        made: The registered volumes and disks.
    """
    for resource in made:
        if (each := kept.get(resource.pulumi_resource_name)) is not None:
            _watch(each, resource)


def _watch(kept: MustStay, made: Any) -> None:
    warned = False

    def warn() -> None:
        nonlocal warned
        if not warned:
            pulumi.warn(kept.warning)
        warned = True

    def named(name: str) -> None:
        if kept.name and name != kept.name:
            warn()

    def identified(known: object) -> None:
        if not isinstance(known, str):
            warn()

    # While a provider cannot be configured yet, a name is unknown too, and an id only of what is
    # created.
    made.name.apply(named)
    made.id.apply(identified, run_with_unknowns=True)


def _volume(path: str, what: str, vm: str, name: str) -> str:
    return (
        f"{path}: this update creates a new, empty volume {what} on {vm},"
        f" {_HOW.format(program='Docker')}. If `docker volume ls` on the VM shows the old one"
        f"{_in_brackets(name)}, {_STOP}"
    )


def _disk(vm: str, name: str, after: Inventory) -> str:
    pool = after.vms[vm].reasons.get("farm.hypervisors.0.pool")
    return (
        f"{vm}: this update creates a new, empty disk in place of one that holds data,"
        f" {_HOW.format(program='libvirt')}. If the old one{_in_brackets(name)} is still in {pool}"
        f" on the hypervisor, {_STOP}"
    )


def _name(outputs: Mapping[str, Any]) -> str:
    return str(outputs.get("name") or "")


def _in_brackets(name: str) -> str:
    return f" ({name})" if name else ""
