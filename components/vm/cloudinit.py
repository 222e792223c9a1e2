"""The cloud-init documents for a VM's first boot.

Deliberately without templates: the YAML library writes every value, so no value can change the
document around it. cloud-init reads them at the first boot only, so a change has to replace the VM.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from components.config.models.farm import Farm
from components.vm import hardening
from components.vm.role import Role
from components.vm.vm_spec import VmSpec
from controller.ssh import SSH_USER


@dataclass(frozen=True, kw_only=True)
class Guest:
    """The values of one VM, and those from the config."""

    hostname: str
    authorized_key: str
    host_key_private: str
    host_key_public: str
    packages: tuple[str, ...]
    role: Role


def guest(spec: VmSpec, farm: Farm, *, keys: Sequence[str]) -> Guest:
    """Return the values for a VM's documents.

    Args:
        spec: The VM.
        farm: Its farm's config.
        keys: The user's public key, the host's private one and the host's public one.
    """
    ours = (*spec.role.packages, *hardening.PACKAGES)
    return Guest(
        hostname=spec.name,
        authorized_key=keys[0],
        host_key_private=keys[1],
        host_key_public=keys[2],
        packages=(*(ours if farm.install_docker else ()), *spec.packages),
        role=spec.role,
    )


@dataclass(frozen=True, kw_only=True)
class Static:
    """The static address of a VM on a bridge; in Gatehouse's own network, VMs use DHCP."""

    mac: str
    address: str
    """With its prefix, as in ``192.0.2.10/24``."""
    gateway: str
    dns: tuple[str, ...]


def user_data(guest: Guest) -> str:
    """Return the ``user-data`` document; it holds the private host key, so treat it as a secret."""
    role = guest.role
    files = {**hardening.FILES, **role.files}
    document: dict[str, Any] = {
        "hostname": guest.hostname,
        "locale": "C.UTF-8",  # a minimal Debian image has no other, and cloud-init ends in error
        "disable_root": True,
        "ssh_deletekeys": True,
        "ssh_keys": {
            "ed25519_private": guest.host_key_private,
            "ed25519_public": guest.host_key_public,
        },
        **({"groups": list(role.groups)} if role.groups else {}),
        "users": [_user(guest)],
        "write_files": [_file(path, text) for path, text in files.items()],
        "runcmd": [
            *(list(command) for command in (*role.commands, *hardening.COMMANDS)),
        ],
    }
    if guest.packages:
        document |= {"package_update": True, "packages": sorted(guest.packages)}
    return "#cloud-config\n" + _yaml(document)


def _user(guest: Guest) -> Mapping[str, Any]:
    """Return the user for SSH.

    It has sudo, because the edge agent and the firewall need root.
    """
    return {
        "name": SSH_USER,
        "groups": [*guest.role.groups, "systemd-journal"],
        "shell": "/bin/bash",
        "lock_passwd": True,
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
        "ssh_authorized_keys": [guest.authorized_key],
    }


def meta_data(hostname: str) -> str:
    """Return the ``meta-data`` document."""
    return _yaml({"instance-id": hostname, "local-hostname": hostname})


def network_config(static: Static) -> str:
    """Return the ``network-config`` document of a VM with a static address.

    It names the card by its MAC address, because the card's own name depends on the image.
    """
    card: dict[str, Any] = {
        "match": {"macaddress": static.mac},
        "set-name": "eth0",
        "addresses": [static.address],
        "gateway4": static.gateway,
    }
    if static.dns:
        card["nameservers"] = {"addresses": list(static.dns)}
    return _yaml({"version": 2, "ethernets": {"eth0": card}})


def _file(path: str, content: str) -> Mapping[str, str]:
    return {"path": path, "permissions": "0644", "content": content}


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as a block, so that its diff is readable."""


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _yaml(document: Mapping[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=1000)
