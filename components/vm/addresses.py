"""How each VM is addressed, from config alone."""

import hashlib

from components.config.models.farm import Network
from components.vm.cloudinit import Static
from components.vm.plan import Plan

_QEMU_PREFIX = "52:54:00"  # the locally administered prefix that QEMU's own addresses have


def mac_address(plan: Plan, stack: str) -> str | None:
    """Return a VM's MAC address, or None where libvirt may make one up.

    An address to keep needs one that is known before the VM is made; if the config names none, it
    is derived from the names, so that it stays the same.
    """
    if plan.mac is not None or plan.address is None:
        return plan.mac
    digest = hashlib.sha256(f"{stack}/{plan.name}".encode()).hexdigest()
    return ":".join((_QEMU_PREFIX, digest[0:2], digest[2:4], digest[4:6]))


def static_address(plan: Plan, network: Network, stack: str) -> Static | None:
    """Return the static address of a VM on a bridge, or None where DHCP tells it."""
    mac = mac_address(plan, stack)
    if network.bridge is None or network.gateway is None or mac is None or plan.address is None:
        return None
    return Static(
        mac=mac,
        address=str(plan.address),
        gateway=network.gateway,
        dns=network.dns,
    )
