"""The edge VM, if ``edge.vm`` is set: its role, its name and its address."""

from ipaddress import IPv4Interface

from components.config.models.edge import EdgeVm
from components.config.models.farm import Farm
from components.vm.role import Role
from components.vm.vm_spec import VmSpec, network_values

EDGE = Role(
    # Until then, the first boot may hold apt's lock.
    ready="test -e /run/cloud-init/result.json || { echo cloud-init is not done >&2; exit 1; };"
    " sudo -n true",
    waits_for="the end of its first boot",
    drain=None,  # HAProxy's unit ends the requests in flight when the VM is powered off
)


def edge_vm_spec(farm: Farm, vm: EdgeVm) -> VmSpec:
    """Return the spec of the VM that is the edge."""
    return VmSpec(
        name=edge_name(farm),
        role=EDGE,
        vcpus=vm.vcpus,
        memory=vm.memory,
        disk=vm.disk,
        domain_type=farm.domain_type,
        mac=vm.mac,
        address=edge_address(farm, vm),
        network=network_values(farm),
    )


def edge_name(farm: Farm) -> str:
    """Return the edge VM's name. No other VM has it, because theirs end in a number."""
    return f"{farm.name}-edge"


def edge_address(farm: Farm, vm: EdgeVm) -> IPv4Interface | None:
    """Return the edge VM's fixed address; None if the config has to give it and does not.

    By default, the last address of Gatehouse's network: DHCP servers mostly start with the first.
    """
    if vm.address is not None or farm.network.bridge is not None:
        return vm.address
    return IPv4Interface(f"{farm.cidr[-2]}/{farm.cidr.prefixlen}")
