"""Each VM's MAC and IP address, from config alone."""

import hashlib

from components.config.models.farm import Network
from components.vm.cloudinit import Static
from components.vm.vm_spec import VmSpec

_QEMU_PREFIX = "52:54:00"  # the locally administered prefix that QEMU's own addresses have


def mac_address(spec: VmSpec, stack: str) -> str | None:
    """Return a VM's MAC address, or None where libvirt may generate one.

    A fixed IP address needs a MAC address that is known before the VM is made. If the config gives
    none, it is derived from the names, so that it stays the same.
    """
    if spec.mac is not None or spec.address is None:
        return spec.mac
    digest = hashlib.sha256(f"{stack}/{spec.name}".encode()).hexdigest()
    return ":".join((_QEMU_PREFIX, digest[0:2], digest[2:4], digest[4:6]))


def static_address(spec: VmSpec, network: Network, stack: str) -> Static | None:
    """Return the static address of a VM on a bridge, or None with DHCP."""
    mac = mac_address(spec, stack)
    if network.bridge is None or network.gateway is None or mac is None or spec.address is None:
        return None
    return Static(
        mac=mac,
        address=str(spec.address),
        gateway=network.gateway,
        dns=network.dns,
    )
