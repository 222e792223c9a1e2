"""Find the data that an update would delete, and the VMs that stay unchanged because of data."""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from components.config.models.stack import Stack
from components.data.inventory import (
    NETWORK,
    STACK_NAME,
    TEXT_KEYS,
    Held,
    Inventory,
    Key,
)
from components.vm.made import Made

_WORD = "`expendable: true`"
_Change = tuple[str, str, str]
"""A key's path, its old value and its new one."""


@dataclass(frozen=True, kw_only=True)
class _Loss:
    """Why a volume would be lost."""

    why: str
    """The reason, with ``{vms}`` as a placeholder for the VMs' names."""
    keep: str
    """What keeps the data, as an imperative."""
    vm_goes: bool
    """Whether the VM goes too."""
    replaced: bool = False
    """Whether another VM or volume takes the place of the old one, in the engine's eyes."""
    copied: bool = False
    """Whether only a copy saves the data; ``keep`` names the disk to copy."""


def problems(before: Inventory, after: Inventory, stack: Stack) -> tuple[str, ...]:
    """Return the data that would be lost: ``path: what (got what)`` for each volume and reason.

    Args:
        before: What there is.
        after: What the config asks for.
        stack: The config.
    """
    lost: dict[tuple[Key, _Loss, str], list[Held]] = {}
    now = {each.key: each for each in after.volumes}
    places = {(each.vm, *each.key) for each in after.volumes}
    for held in before.volumes:
        kept = held.key in now, (held.vm, *held.key) in places
        loss = next(_losses(held, kept, before, after, stack), None)
        if loss is None:
            continue
        still = now.get(held.key)
        word = (still or held).expendable
        # If nothing replaces a volume, the engine uses the protection that the last update set.
        if word and (loss.replaced or held.expendable):
            continue
        way_out = _way_out(loss, in_config=still is not None, word=word)
        lost.setdefault((held.key, loss, way_out), []).append(held)
    told = (
        _told(helds, loss, way_out, now.get(key)) for (key, loss, way_out), helds in lost.items()
    )
    return (*told, *_protected(before, after, stack))


def replaced(before: Inventory, after: Inventory) -> frozenset[str]:
    """Return the VMs that an update replaces although the last one had Pulumi protect them.

    Call it only if there are no problems: then none of these VMs has data.
    """
    protected = {each.vm for each in before.planned + before.volumes if not each.expendable}
    staying = stays(before, after)
    return frozenset(
        vm
        for vm in protected & before.vms.keys() & after.vms.keys() - staying.keys()
        if before.vms[vm].begun
        or before.vms[vm].text != after.vms[vm].text
        or any(_replacing(before.vms[vm], after.vms[vm]))
    )


def made_again(before: Inventory, after: Inventory) -> tuple[str, ...]:
    """Return a warning for each Docker volume that left the state: an update makes an empty one.

    Call it only if there are no problems.
    """
    now = {(each.vm, *each.key): each for each in after.volumes if not each.expendable}
    helds = (now.get((each.vm, *each.key)) for each in before.missing)
    return tuple(
        f"services.{each.service}.volumes.{each.index}: the volume {each.what} on {each.vm} is not"
        " in Pulumi's state any more, after `pulumi refresh` or `pulumi state delete`, so this"
        " update creates a new, empty one. If `docker volume ls` on the VM shows the old one, do"
        " not continue, and see docs/operations.md, Data on VMs"
        for each in helds
        if each is not None
    )


def disks_again(before: Inventory, after: Inventory) -> tuple[str, ...]:
    """Return a warning for each disk with data that left the state: an update makes an empty one.

    Call it only if there are no problems.
    """
    pool = after.vms and next(iter(after.vms.values())).reasons.get("farm.hypervisors.0.pool")
    return tuple(
        f"{vm}: its disk {disk}, which holds data, is not in Pulumi's state any more, because"
        " libvirt did not list it during `pulumi refresh`, so this update creates a new, empty one."
        f" If the disk is still in {pool} on the hypervisor, do not continue, and see"
        " docs/operations.md, Data on VMs"
        for vm, disk in sorted(before.vanished.items())
        if vm in after.vms
    )


def needs_image(before: Inventory, after: Inventory) -> bool:
    """Whether to protect the image: disks of VMs that stay and have data are layers of it."""
    going = replaced(before, after)
    keys = {key for vm in going for key, *_ in _replacing(before.vms[vm], after.vms[vm])}
    return bool(after.data) and not keys & {"farm.image", "farm.hypervisors.0.pool", STACK_NAME}


def stays(before: Inventory, after: Inventory) -> Mapping[str, Made]:
    """Return the VMs that keep the first-boot text of an older version because they hold data.

    Only that text differs. They have their kept values, so that the next run finds them unchanged.
    """
    now = {each.key: each for each in after.volumes}
    data = {each.vm for each in before.volumes if not now.get(each.key, each).expendable}
    return {
        vm: made
        for vm, made in before.vms.items()
        if vm in data
        and vm in after.vms
        and made.generation
        and made.text != after.vms[vm].text
        and not any(_replacing(made, after.vms[vm]))
    }


def _protected(before: Inventory, after: Inventory, stack: Stack) -> Iterator[str]:
    """Yield the VMs without data whose deletion Pulumi would still refuse."""
    with_data = {each.vm for each in before.volumes if not each.expendable}
    empty = {each.vm for each in before.planned if not each.expendable} - with_data
    going: dict[_Change, list[str]] = {}
    for vm in sorted(empty - after.vms.keys()):
        going.setdefault(_taking(vm, before, stack), []).append(vm)
    for (key, old, new), vms in going.items():
        urns = shlex.join(urn for vm in vms for urn in before.urns[vm])
        yield (
            f"{key}: Pulumi protects {_and(vms)} for volumes of an earlier config that were never"
            f" created; run `pulumi state unprotect --yes {urns}`, or keep"
            f" {key}: {old} (got {new})"
        )


def _losses(
    held: Held, kept: tuple[bool, bool], before: Inventory, after: Inventory, stack: Stack
) -> Iterator[_Loss]:
    """Yield why a volume is lost, the most important reason first.

    Args:
        held: The volume on a VM.
        kept: Whether the config has it at all, and whether on this VM.
        before: What there is.
        after: What the config asks for.
        stack: The config.
    """
    name = held.service
    if held.vm not in after.vms:
        yield _without_vm(held.vm, before, stack)
    elif name not in stack.services:
        yield _Loss(
            why=f"services.{name} is not in the config any more",
            keep=f"Put services.{name} back",
            vm_goes=False,
        )
    elif not kept[0]:
        why = "it is not in the config any more"
        yield _Loss(why=why, keep="Put the volume back", vm_goes=False)
    elif not kept[1]:
        known = before.spreads.get(name)
        changes = list(_changes(known, after.spreads[name])) if known else []
        yield _Loss(
            why=f"{_shown(changes)} leave{_s(changes)} {{vms}} without a container of the service"
            if changes
            else f"replicas and placement of services.{name} leave {{vms}} without a container",
            keep=_kept(changes) if changes else "Keep the old values",
            vm_goes=False,
        )
    else:
        yield from _by_another_vm(before.vms[held.vm], after.vms[held.vm])


def _without_vm(vm: str, before: Inventory, stack: Stack) -> _Loss:
    change = _taking(vm, before, stack)
    does = "replaces" if change[0] == "farm.name" else "takes away"
    return _Loss(why=f"{_shown([change])} {does} {{vms}}", keep=_kept([change]), vm_goes=True)


def _taking(vm: str, before: Inventory, stack: Stack) -> _Change:
    """Return the change that removes a VM from the config."""
    farm = vm.rpartition("-")[0]
    if farm != stack.farm.name:
        return "farm.name", farm, stack.farm.name
    count = sum(each.rpartition("-")[0] == farm for each in before.vms)
    return "farm.vms", str(count), str(stack.farm.vms)


def _by_another_vm(made: Made, wanted: Made) -> Iterator[_Loss]:
    changes = list(_replacing(made, wanted))
    if made.begun:
        disk = made.holds or "the old disk"
        yield _Loss(
            why="an update that failed has begun to replace {vms}, and the next update, whatever"
            f" the config, completes that and deletes {disk}",
            keep=f"Copy the data off {disk}, from the old VM if it still runs, or with `virsh"
            " vol-download`",
            vm_goes=True,
            replaced=True,
            copied=True,
        )
    elif changes:
        yield _Loss(
            why=f"{_shown(changes)} replace{_s(changes)} {{vms}}",
            keep=_kept(changes),
            vm_goes=True,
            replaced=True,
        )
    elif made.text != wanted.text and not made.generation:
        yield _Loss(
            why=f"Gatehouse's first-boot text or one of {', '.join(TEXT_KEYS)} has changed since"
            " the creation of {vms}, which replaces {vms}",
            keep="Keep the old version and values",
            vm_goes=True,
            replaced=True,
        )


def _replacing(made: Made, wanted: Made) -> Iterator[_Change]:
    """Yield the changes of the config that replace a VM."""
    for key, old, new in _changes(made.reasons, wanted.reasons):
        if key in TEXT_KEYS and made.text == wanted.text:
            continue
        if key in wanted.reasons.keys() ^ made.reasons.keys() and key.startswith(NETWORK):
            continue  # of a bridge that came or went
        # An older version of Gatehouse did not keep everything.
        if made.generation or (key in made.reasons and key in wanted.reasons):
            yield key, old, new


def _changes(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[_Change]:
    for key in sorted({*old, *new}):  # what is read from a state has no order
        if old.get(key) != new.get(key):
            yield key, old.get(key, "none"), new.get(key, "none")


def _shown(changes: Iterable[_Change]) -> str:
    return _and([f"{key} {old} -> {new}" for key, old, new in changes])


def _kept(changes: Iterable[_Change]) -> str:
    return f"Keep {_and([f'{key}: {old}' for key, old, _ in changes])}"


def _s(changes: list[_Change]) -> str:
    return "s" if len(changes) == 1 else ""


def _way_out(loss: _Loss, *, in_config: bool, word: bool) -> str:
    if loss.copied:
        return (
            f"{loss.keep}. Then set {_WORD} beside the volume, and run `pulumi up`. But if libvirt"
            " did not list the disk in the failed update, nothing deletes it: import a state from"
            " before instead, see docs/operations.md, Data on VMs"
        )
    if loss.replaced:
        return f"{loss.keep}; or back the data up, and set {_WORD} beside the volume"
    if not in_config:
        return (
            f"{loss.keep}. To give the data up, put it back with {_WORD} beside the volume, run"
            " `pulumi up`, and then remove it"
        )
    if word:
        return (
            f"{_WORD} counts from the next update on: run `pulumi up` with the old values, then"
            " change them"
        )
    return (
        f"{loss.keep}. To give the data up, set {_WORD} beside the volume, run `pulumi up` with the"
        " old values, and then change them"
    )


def _told(helds: list[Held], loss: _Loss, way_out: str, now: Held | None) -> str:
    held = helds[0]
    index = (now or held).index
    path = f"services.{held.service}.volumes" + ("" if index is None else f".{index}")
    vms = _and([each.vm for each in helds])
    what = "volume" if held.place == "name" else "folder"
    lost = "deleted"
    if held.place == "host" and not loss.vm_goes:
        lost = "left unused on the VM, and deleted with it"
    return (
        f"{path}: the {what} {held.what} on {vms} ({held.path} in the container) would be {lost}:"
        f" {loss.why.format(vms=vms)}. {way_out} (got {held.what})"
    )


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
