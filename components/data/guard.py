"""What data an update would delete, and which VMs stay as they are because they hold data."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from components.data.inventory import NETWORK, TEXT_KEYS, Held, Inventory, Key, Made
from components.models.stack import Stack

_WORD = "`expendable: true`"
_Change = tuple[str, str, str]
"""A key's path, its old value and its new one."""


@dataclass(frozen=True, kw_only=True)
class _Loss:
    """Why a volume would be lost."""

    why: str
    """Has ``{vms}`` in the place of the VMs' names."""
    keep: str
    """What keeps the data, as an imperative."""
    vm_goes: bool
    """Whether the VM goes too."""
    replaced: bool = False
    """Whether another VM or volume takes the place of the old one, in the engine's eyes."""


def problems(before: Inventory, after: Inventory, stack: Stack) -> tuple[str, ...]:
    """Return the data that would be lost: ``path: what (got what)`` for each volume and reason.

    Args:
        before: What there is.
        after: What the config asks for.
        stack: The config.
    """
    lost: dict[tuple[Key, _Loss, str], list[Held]] = {}
    now = {each.key: each for each in after.volumes}
    for held in before.volumes:
        loss = next(_losses(held, before, after, stack), None)
        if loss is None:
            continue
        still = now.get(held.key)
        word = (still or held).expendable
        # Where nothing takes a volume's place, the engine goes by the last update's word.
        if word and (loss.replaced or held.expendable):
            continue
        way_out = _way_out(loss, in_config=still is not None, word=word)
        lost.setdefault((held.key, loss, way_out), []).append(held)
    return tuple(
        _told(helds, loss, way_out, now.get(key)) for (key, loss, way_out), helds in lost.items()
    )


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


def _losses(held: Held, before: Inventory, after: Inventory, stack: Stack) -> Iterator[_Loss]:
    """Yield why a volume is lost, the most important reason first."""
    name = held.service
    if held.vm not in after.vms:
        yield _without_vm(held.vm, before, stack)
    elif name not in stack.services:
        yield _Loss(
            why=f"services.{name} is not in the config any more",
            keep=f"Put services.{name} back",
            vm_goes=False,
        )
    elif held.key not in {each.key for each in after.volumes}:
        why = "it is not in the config any more"
        yield _Loss(why=why, keep="Put the volume back", vm_goes=False)
    elif (held.vm, *held.key) not in {(each.vm, *each.key) for each in after.volumes}:
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
    farm = vm.rpartition("-")[0]
    count = sum(each.rpartition("-")[0] == farm for each in before.vms)
    if farm != stack.farm.name:
        change, does = ("farm.name", farm, stack.farm.name), "replaces"
    else:
        change, does = ("farm.vms", str(count), str(stack.farm.vms)), "takes away"
    return _Loss(why=f"{_shown([change])} {does} {{vms}}", keep=_kept([change]), vm_goes=True)


def _by_another_vm(made: Made, wanted: Made) -> Iterator[_Loss]:
    changes = list(_replacing(made, wanted))
    if made.begun:
        yield _Loss(
            why="an update that failed has begun to replace {vms}, and any other one goes on with"
            " that",
            keep="Leave the stack as it is",
            vm_goes=True,
            replaced=True,
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
    for key in dict.fromkeys((*old, *new)):
        if old.get(key) != new.get(key):
            yield key, old.get(key, "none"), new.get(key, "none")


def _shown(changes: Iterable[_Change]) -> str:
    return _and([f"{key} {old} -> {new}" for key, old, new in changes])


def _kept(changes: Iterable[_Change]) -> str:
    return f"Keep {_and([f'{key}: {old}' for key, old, _ in changes])}"


def _s(changes: list[_Change]) -> str:
    return "s" if len(changes) == 1 else ""


def _way_out(loss: _Loss, *, in_config: bool, word: bool) -> str:
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
