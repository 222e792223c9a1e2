"""The addresses from which the VMs see this machine, for their firewall's SSH rule."""

from collections.abc import Sequence

from components.config.models.farm import Farm


def ssh_from(farm: Farm, own_addresses: Sequence[str]) -> tuple[str, ...]:
    """Return the networks from which SSH is answered; none if they cannot be determined.

    Args:
        farm: The farm's config.
        own_addresses: The IPv4 addresses that this machine has towards VMs on a bridge.
    """
    if farm.ssh_from:
        return tuple(str(network) for network in farm.ssh_from)
    if farm.network.bridge is not None:
        return tuple(f"{address}/32" for address in own_addresses)
    return (f"{farm.host_address}/32",)
