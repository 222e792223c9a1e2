"""How each VM is addressed, from config alone."""

import hashlib

from components.models.farm import Farm
from components.vm.cloudinit import Static

_QEMU_PREFIX = "52:54:00"  # the locally administered prefix that QEMU's own addresses have


def mac_address(farm: Farm, stack: str, vm: str, index: int) -> str | None:
    """Return a VM's MAC address, or None where libvirt may make one up.

    A static address needs one that is known before the VM is made; if the config names none, it is
    derived from the names, so that it stays the same.
    """
    if farm.network.macs:
        return farm.network.macs[index]
    if farm.network.bridge is None:
        return None
    digest = hashlib.sha256(f"{stack}/{vm}".encode()).hexdigest()
    return ":".join((_QEMU_PREFIX, digest[0:2], digest[2:4], digest[4:6]))


def static_address(farm: Farm, stack: str, vm: str, index: int) -> Static | None:
    """Return the static address of a VM on a bridge, or None where DHCP tells it."""
    mac = mac_address(farm, stack, vm, index)
    network = farm.network
    if network.bridge is None or network.gateway is None or mac is None:
        return None
    return Static(
        mac=mac,
        address=str(network.addresses[index]),
        gateway=network.gateway,
        dns=network.dns,
    )
