"""The VMs that containers run on: their role, and the digests of their first boot."""

import json
from collections.abc import Mapping
from typing import Any

from components.config.models.farm import Farm
from components.vm import cloudinit
from components.vm.digest import digest
from components.vm.role import Role
from components.vm.vm_spec import VmSpec, network_values
from controller.ssh import SSH_USER
from remote.names import AGENT_FOLDER, AGENT_PROGRAM
from remote.texts import template_of

DOCKER = ("apparmor", "docker.io")
"""A minimal Debian image lacks AppArmor's tools, without which Docker starts no container."""


def _unit(name: str) -> str:
    """Return a file for systemd, from its template."""
    template = template_of("components.host", name)
    return template.substitute(user=SSH_USER, program=AGENT_PROGRAM, folder=AGENT_FOLDER)


_FILES: Mapping[str, str] = {
    # The slice of SSH sessions, whose commands take seconds of processor time, for which requests
    # would otherwise wait. Traefik's and the agent's code set the weights of serving containers.
    "/etc/systemd/system/user.slice.d/50-gatehouse.conf": _unit("after-serving.conf"),
}


def container_role(registry_mirror: str | None) -> Role:
    """Return the role of a VM that containers run on.

    Args:
        registry_mirror: The URL of a mirror of Docker Hub, if there is one.
    """
    return Role(
        # cloud-init may still be installing packages.
        ready="test -x /usr/sbin/nft || { echo it has no nftables >&2; exit 1; };"
        " docker version --format '{{.Server.Version}}'",
        waits_for="Docker",
        drain=f"python3 {AGENT_PROGRAM} evacuate {{seconds:.0f}}",
        packages=DOCKER,
        groups=("docker",),  # access to Docker is as good as root, so sudo adds nothing
        files={
            **_FILES,
            "/etc/docker/daemon.json": json.dumps(_docker_daemon(registry_mirror), indent=2) + "\n",
            # The agent's program comes over SSH and may change without another VM. The path unit
            # starts the daemon when the program first comes, and at each boot after that.
            "/etc/systemd/system/gatehouse-agent.service": _unit("gatehouse-agent.service"),
            "/etc/systemd/system/gatehouse-agent.path": _unit("gatehouse-agent.path"),
        },
        commands=(("systemctl", "enable", "--now", "gatehouse-agent.path"),),
    )


def _docker_daemon(registry_mirror: str | None) -> Mapping[str, Any]:
    settings: dict[str, Any] = {
        "live-restore": True,  # containers keep serving while Docker restarts
        "log-driver": "json-file",
        "log-opts": {"max-size": "10m", "max-file": "3"},
    }
    if registry_mirror is not None:
        settings["registry-mirrors"] = [registry_mirror]
    return settings


def container_vm_spec(farm: Farm, name: str, index: int) -> VmSpec:
    """Return the spec of the farm's VM number ``index``, from 0, called ``name``."""
    network = farm.network
    return VmSpec(
        name=name,
        role=container_role(farm.registry_mirror),
        vcpus=farm.vcpus,
        memory=farm.memory,
        disk=farm.disk,
        domain_type=farm.domain_type,
        mac=network.macs[index] if network.macs else None,
        address=network.addresses[index] if network.bridge is not None else None,
        packages=farm.packages,
        network=network_values(farm),
    )


def first_boot_text(farm: Farm) -> str:
    """Return a digest of the cloud-init document of a farm's VMs, without names and keys."""
    return digest(_user_data(farm))


def farm_generation(image: str, farm: Farm) -> str:
    """Return a digest of everything that replaces all VMs when it changes.

    Args:
        image: The id of the volume on which their disks are layers.
        farm: The farm's config.
    """
    return digest(image, _user_data(farm), *container_vm_spec(farm, "", 0).size)


def _user_data(farm: Farm) -> str:
    guest = cloudinit.guest(container_vm_spec(farm, "", 0), farm, keys=("", "", ""))
    return cloudinit.user_data(guest)
