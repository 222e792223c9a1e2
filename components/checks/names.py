"""Names of resources that are put together of several names.

Pulumi takes two resources of one type and one name for the same, and ends in the middle of a run.
All parts may have hyphens, so that different parts can make one name.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from components.models.service import Service
from components.placement import allowed, on_vm, spread, volume_name

_Made = tuple[str, str, str, str]
"""A type, a name, the path of the key that it is made of, and that key's value."""


def names(services: Mapping[str, Service], vms: Sequence[str]) -> Iterable[str]:
    """Yield the services and volumes whose resources have a name that others have.

    Args:
        services: The services.
        vms: The names of the farm's VMs.
    """
    seen: dict[tuple[str, str], str] = {}
    for kind, name, path, value in made(services, vms):
        first = seen.setdefault((kind, name), path)
        if first != path:
            yield (
                f"{path}: with the VM's name it makes the {kind} name {name}, as {first} does;"
                f" rename one of them (got {value})"
            )


def made(services: Mapping[str, Service], vms: Sequence[str]) -> Iterator[_Made]:
    """Yield the names that containers begin with, and those of volumes.

    The names of all else end in words that nobody chooses.
    """
    for service, spec in services.items():
        usable = allowed(spec.placement.vms, vms)
        for vm in spread(spec.replicas, usable) if usable else ():
            yield "container", on_vm(service, vm), f"services.{service}", service
            once = {each.name: index for index, each in enumerate(spec.volumes)}
            for volume, index in once.items():
                if volume is not None:
                    path = f"services.{service}.volumes.{index}.name"
                    yield "volume", volume_name(service, vm, volume), path, volume
