"""Names of resources that are composed of several names.

Pulumi identifies a resource by type and name; a duplicate fails in the middle of a run. Each part
of a name may contain hyphens, so different parts can make the same name.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from components.config.models.service import Service
from components.placement import allowed, on_vm, spread, volume_name

_Made = tuple[str, str, str, str]
"""A type, a name, the path of the key that the name comes from, and that key's value."""


def names(services: Mapping[str, Service], vms: Sequence[str]) -> Iterable[str]:
    """Yield the services and volumes whose resource names collide with others.

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
    """Yield the beginnings of the containers' names, and the names of volumes.

    All other names end in a fixed word, so they cannot collide.
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
