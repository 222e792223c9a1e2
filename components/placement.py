"""Which VM runs how many containers of a service: a pure function of config.

Known before anything runs, so that the set of resources never depends on outputs of resources.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Slot:
    """The place of one container: the ``index``-th (from 0) of ``service`` on the VM ``vm``."""

    service: str
    vm: str
    index: int

    @property
    def name(self) -> str:
        """``<service>-<vm>-<index>``: never a position in a global list.

        So a container that stays keeps its name when the number of VMs or replicas changes.
        """
        return f"{on_vm(self.service, self.vm)}-{self.index}"


def on_vm(service: str, vm: str) -> str:
    """Return the prefix of the names of a service's resources on a VM."""
    return f"{service}-{vm}"


def volume_name(service: str, vm: str, volume: str) -> str:
    """Return the name of a volume's resource: ``<service>-<vm>-<volume>``."""
    return f"{on_vm(service, vm)}-{volume}"


def vm_names(farm: str, count: int) -> tuple[str, ...]:
    """Return the names of a farm's VMs, ``web-0`` to ``web-<count - 1>`` for the farm ``web``."""
    return tuple(f"{farm}-{index}" for index in range(count))


def allowed(wanted: Sequence[str] | None, vms: Sequence[str]) -> tuple[str, ...]:
    """Return the VMs that a service may run on, in their order; None means all."""
    chosen = frozenset(vms if wanted is None else wanted)
    return tuple(vm for vm in vms if vm in chosen)


def spread(replicas: int, vms: Sequence[str]) -> dict[str, int]:
    """Return how many of ``replicas`` containers each VM runs, in the order of ``vms``.

    Each VM gets ``replicas // len(vms)``, the first ``replicas % len(vms)`` one more. VMs that run
    none are left out.

    Raises:
        ValueError: There are replicas, but no VM to run them.
    """
    if not vms:
        raise ValueError(f"{replicas} replicas cannot be placed on 0 VMs")
    share, rest = divmod(replicas, len(vms))
    counts = {vm: share + (1 if index < rest else 0) for index, vm in enumerate(vms)}
    return {vm: count for vm, count in counts.items() if count}


def slots(service: str, counts: Mapping[str, int]) -> tuple[Slot, ...]:
    """Return the slots of a service, by VM and then by index."""
    return tuple(
        Slot(service=service, vm=vm, index=index)
        for vm, count in counts.items()
        for index in range(count)
    )
