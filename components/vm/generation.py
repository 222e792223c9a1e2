"""Digests of a VM's first boot: another digest needs another VM."""

import hashlib
import json

from components.config.models.farm import Farm
from components.vm import cloudinit
from components.vm.plan import container_host


def digest(*parts: object) -> str:
    """Return 16 hex digits for anything that JSON can hold."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def first_boot_text(farm: Farm) -> str:
    """Return a digest of the cloud-init document of a farm's VMs, without names and keys."""
    return digest(_user_data(farm))


def farm_generation(image: str, farm: Farm) -> str:
    """Return a digest of everything that has all VMs replaced when it changes.

    Args:
        image: The id of the volume that their disks are layers of.
        farm: The farm's config.
    """
    return digest(image, _user_data(farm), *container_host(farm, "", 0).size)


def _user_data(farm: Farm) -> str:
    guest = cloudinit.guest(container_host(farm, "", 0), farm, keys=("", "", ""))
    return cloudinit.user_data(guest)
