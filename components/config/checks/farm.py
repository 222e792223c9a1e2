"""Checks of the farm: its VMs, their network and their hypervisor."""

from collections.abc import Iterable

from components.config.checks import addresses, folders
from components.config.checks.text import twice
from components.config.models.farm import Farm
from components.config.models.stack import Stack


def farm(stack: Stack) -> Iterable[str]:
    """Yield the contradictions within the farm's config."""
    yield from _network(stack)
    yield from _reach(stack.farm)
    yield from twice("farm.packages", [_name(each) for each in stack.farm.packages])
    yield from folders.allowed_folders(stack.farm)


def _network(stack: Stack) -> Iterable[str]:
    farm, network = stack.farm, stack.farm.network
    if network.bridge is None:
        usable = farm.cidr.num_addresses - 3  # network, gateway, broadcast
        usable -= stack.edge.vm is not None
        if farm.vms > usable:
            yield (
                f"farm.vms: must be at most {usable}, the addresses that farm.network.cidr"
                f" {farm.cidr} has for VMs (got {farm.vms})"
            )
    elif len(network.addresses) < farm.vms:
        yield (
            f"farm.network.addresses: must have one for each of the {farm.vms} VMs"
            f" (got {len(network.addresses)})"
        )
    if network.macs and len(network.macs) < farm.vms:
        yield (
            f"farm.network.macs: must have one for each of the {farm.vms} VMs"
            f" (got {len(network.macs)})"
        )
    yield from twice("farm.network.addresses", [str(each.ip) for each in network.addresses])
    yield from twice("farm.network.macs", network.macs)
    for index, mac in enumerate(network.macs):
        yield from addresses.multicast(f"farm.network.macs.{index}", mac)
    for index, address in enumerate(network.addresses):
        yield from addresses.on_bridge(f"farm.network.addresses.{index}", address, network)


def _reach(farm: Farm) -> Iterable[str]:
    """Yield an error if only the hypervisor could reach the VMs.

    libvirt rejects new connections from outside into a network behind NAT.
    """
    if farm.network.bridge is None and farm.hypervisor.elsewhere:
        host = farm.hypervisor.host
        yield (
            "farm.network.bridge: is required for a hypervisor on another machine, because"
            f" Gatehouse's own network is behind NAT there; give a bridge of {host} with addresses"
            f" and gateway, or deploy on {host} with qemu:///system (got nothing)"
        )


def _name(package: str) -> str:
    """Return a package's name without its version or suite."""
    return package.partition("=")[0].partition("/")[0]
