"""A VM's specification, from config alone: its role, its size and its address."""

from dataclasses import dataclass
from ipaddress import IPv4Interface

from components.config.models.farm import DEFAULT_CIDR, Farm
from components.vm.role import Role


@dataclass(frozen=True, kw_only=True)
class VmSpec:
    """One VM."""

    name: str
    """Its host name, and the beginning of its resources' names."""
    role: Role
    vcpus: int
    memory: int
    """In bytes, as is ``disk``."""
    disk: int
    domain_type: str
    mac: str | None = None
    """None where libvirt may generate it."""
    address: IPv4Interface | None = None
    """Its fixed address; None if libvirt's DHCP server assigns one."""
    packages: tuple[str, ...] = ()
    """Packages to install at its first boot, besides those of its role."""
    network: tuple[str, ...] = ()
    """The bridge or network of its card; empty for the default network."""

    @property
    def size(self) -> tuple[object, ...]:
        """The network values that cannot change during the VM's life."""
        return (self.vcpus, self.memory, self.disk, self.domain_type, *self.network)


def network_values(farm: Farm) -> tuple[str, ...]:
    """Return the network values whose change replaces VMs.

    libvirt's provider (0.8.1) accepts another network or bridge for a domain and leaves the domain
    as it is. The default is left out, so that VMs of older versions stay.
    """
    if farm.network.bridge is not None:
        return (farm.network.bridge,)
    return () if str(farm.cidr) == DEFAULT_CIDR else (str(farm.cidr),)
