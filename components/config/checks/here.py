"""Checks against the machine that the program runs on."""

from collections.abc import Iterable

from components.config.machine import MachineFacts
from components.config.models.stack import Stack
from components.config.units import format_size
from components.edge.source import sources
from components.vm.ssh_sources import ssh_from

_LIBVIRT_BRIDGE = "virbr"  # libvirt's names for the bridges of its own networks


def here(stack: Stack, facts: MachineFacts) -> Iterable[str]:
    """Yield the problems of a config on the machine that the facts describe."""
    yield from facts.certificate_problems
    yield from _hypervisor(stack, facts)
    yield from _addresses(stack, facts)
    for name, service in stack.services.items():
        for status, page in service.http.error_pages.items():
            if page in facts.page_problems:
                yield (
                    f"services.{name}.http.error_pages.{status}: {facts.page_problems[page]}"
                    f" (got {page})"
                )


def _hypervisor(stack: Stack, facts: MachineFacts) -> Iterable[str]:
    farm = stack.farm
    if facts.image_problem is not None:
        yield (
            f"farm.image: {facts.image_problem}; give a readable qcow2 file or a URL"
            f" (got {farm.image})"
        )
    yield from _disks(stack, facts.image_size)
    edge = stack.edge.vm.memory if stack.edge.vm is not None else 0
    if facts.memory is not None and farm.vms * farm.memory + edge > facts.memory:
        beside = f" and the edge's {format_size(edge)}" if edge else ""
        yield (
            f"farm.memory: {farm.vms} VMs of {format_size(farm.memory)}{beside} do not fit the"
            f" hypervisor's {facts.memory / 2**30:.1f}GiB; lower farm.memory or farm.vms"
            f" (got {format_size(farm.memory)})"
        )
    if farm.domain_type == "kvm" and not facts.kvm:
        yield (
            "farm.domain_type: the hypervisor has no /dev/kvm; turn virtualization on in its"
            " firmware, or use qemu, which emulates and is slow (got kvm)"
        )


def _disks(stack: Stack, image: int | None) -> Iterable[str]:
    """Yield the disks that are smaller than the image, which is cut off then and does not boot."""
    sizes = {"farm.disk": stack.farm.disk}
    if stack.edge.vm is not None:
        sizes["edge.vm.disk"] = stack.edge.vm.disk
    for path, size in sizes.items():
        if image is not None and size < image:
            yield (
                f"{path}: is smaller than the image's disk, which has {image / 2**30:.1f}GiB; give"
                f" at least that (got {format_size(size)})"
            )


def _addresses(stack: Stack, facts: MachineFacts) -> Iterable[str]:
    farm = stack.farm
    if not sources(stack, facts):
        way = f"edge.host {stack.edge.host} resolves to no IPv4 address on this machine"
        if stack.edge.host is None:
            way = "this machine has no route to farm.network.addresses"
        yield (
            f"edge.source: {way}; give the address from which the VMs will see the edge"
            " (got nothing)"
        )
    if not ssh_from(farm, facts.own_addresses):
        yield (
            "farm.ssh_from: this machine has no route to farm.network.addresses; give the address"
            " from which the VMs will see it (got nothing)"
        )
    if farm.network.bridge is None:
        cidr = farm.cidr
        for interface, address in facts.networks:
            own = interface.startswith(_LIBVIRT_BRIDGE) and address.network == cidr
            if address.network.overlaps(cidr) and not own:
                yield (
                    f"farm.network.cidr: overlaps {address.network} of this machine's interface"
                    f" {interface}; choose another one (got {cidr})"
                )
