"""What a VM is to be, from config alone: its role, its size and its address."""

from dataclasses import dataclass
from ipaddress import IPv4Interface

from components.config.models.edge import EdgeVm
from components.config.models.farm import DEFAULT_CIDR, Farm
from components.vm.role import CONTAINERS, EDGE, Role


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One VM."""

    name: str
    """Its host name, and the beginning of its resources' names."""
    role: Role
    vcpus: int
    memory: int
    """Bytes, as is ``disk``."""
    disk: int
    domain_type: str
    mac: str | None = None
    """None where it may be made up."""
    address: IPv4Interface | None = None
    """The address that it keeps; None where libvirt's DHCP server gives it any."""
    packages: tuple[str, ...] = ()
    """To install at its first boot, beside what its role takes."""
    network: tuple[str, ...] = ()
    """The bridge or network of its card; empty for the default network."""

    @property
    def size(self) -> tuple[object, ...]:
        """What of it cannot be changed while it lives."""
        return (self.vcpus, self.memory, self.disk, self.domain_type, *self.network)


def container_host(farm: Farm, name: str, index: int) -> Plan:
    """Return the plan of the farm's VM number ``index``, from 0, called ``name``."""
    network = farm.network
    return Plan(
        name=name,
        role=CONTAINERS,
        vcpus=farm.vcpus,
        memory=farm.memory,
        disk=farm.disk,
        domain_type=farm.domain_type,
        mac=network.macs[index] if network.macs else None,
        address=network.addresses[index] if network.bridge is not None else None,
        packages=farm.packages,
        network=_network(farm),
    )


def edge_host(farm: Farm, vm: EdgeVm) -> Plan:
    """Return the plan of the VM that is the edge."""
    return Plan(
        name=edge_name(farm),
        role=EDGE,
        vcpus=vm.vcpus,
        memory=vm.memory,
        disk=vm.disk,
        domain_type=farm.domain_type,
        mac=vm.mac,
        address=edge_address(farm, vm),
        network=_network(farm),
    )


def _network(farm: Farm) -> tuple[str, ...]:
    """Return the network values whose change replaces VMs.

    libvirt's provider (0.8.1) accepts another network or bridge for a domain and leaves the domain
    as it is. The default is left out, so that VMs of older versions stay.
    """
    if farm.network.bridge is not None:
        return (farm.network.bridge,)
    return () if str(farm.cidr) == DEFAULT_CIDR else (str(farm.cidr),)


def edge_name(farm: Farm) -> str:
    """Return what the edge's VM is called: no other VM is, as those end in a number."""
    return f"{farm.name}-edge"


def edge_address(farm: Farm, vm: EdgeVm) -> IPv4Interface | None:
    """Return the address that the edge's VM keeps; None if it has to be given and is not.

    By default the own network's last one: DHCP servers mostly start at the other end.
    """
    if vm.address is not None or farm.network.bridge is not None:
        return vm.address
    return IPv4Interface(f"{farm.cidr[-2]}/{farm.cidr.prefixlen}")
