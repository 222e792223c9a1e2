"""Configs with data, and what a state has of them."""

from typing import Any

from components.config.loading import parse
from components.config.models.stack import Stack
from components.data import guard, inventory
from components.data import state as state_of
from components.data.inventory import Inventory
from components.placement import allowed, spread, vm_names
from tests.support import program

DATA = {"name": "data", "path": "/data", "shared": True}
FOLDER = {"host": "/srv/hello", "path": "/files", "shared": True}
SAID = "`expendable: true`"


def config(*volumes: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a config of two VMs with a service on both."""
    return program.config(services__hello__volumes=list(volumes), **changes)


def expendable(volume: dict[str, Any]) -> dict[str, Any]:
    return {**volume, "expendable": True}


def placed(stack: Stack) -> dict[str, dict[str, int]]:
    names = vm_names(stack.farm.name, stack.farm.vms)
    return {
        name: spread(service.replicas, allowed(service.placement.vms, names))
        for name, service in stack.services.items()
    }


def wanted(raw: dict[str, Any], name: str = "test") -> Inventory:
    stack = parse(raw)
    return inventory.wanted(stack, name, placed(stack))


def state(raw: dict[str, Any]) -> dict[str, Any]:
    """Return what an update with a config leaves in the state, of what is read of it."""
    stack, start = parse(raw), "urn:pulumi:test::gatehouse::some$type::"
    found: dict[str, Any] = {}
    for vm, made in wanted(raw).vms.items():
        record = {"reasons": dict(made.reasons), "text": made.text, "generation": f"of {vm}"}
        found[start + vm] = {"type": "gatehouse:vm:Vm", "outputs": {"made": record}}
        disk = {"type": "libvirt:index/volume:Volume", "outputs": {"size": 1.0}}
        found[f"{start}{vm}-disk"] = disk
    for name, service in stack.services.items():
        outputs = inventory.kept_of_service(service, name, placed(stack)[name])
        found[start + name] = {"type": "gatehouse:service:Service", "outputs": outputs}
        for vm in placed(stack)[name]:
            for volume in (each.name for each in service.volumes if each.name is not None):
                known_as = f"{start}{name}-{vm}-{volume}"
                found[known_as] = {"type": "docker:index/volume:Volume", "outputs": {}}
            slot = f"{start}{name}-{vm}-0"
            found[slot] = {"type": "docker:index/container:Container", "outputs": {}}
    return found


def kept(raw: dict[str, Any]) -> Inventory:
    return state_of.kept(state(raw), parse(raw).farm)


def problems(
    before: dict[str, Any], after: dict[str, Any], *, name: str = "test"
) -> tuple[str, ...]:
    return guard.problems(kept(before), wanted(after, name), parse(after))
