"""What a VM is told at its first boot, as cloud-init documents.

Deliberately without templates: every value is written by the YAML library, so none can break out
of its place. cloud-init acts on this at the first boot only; a change has to replace the VM.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from components.config.models.farm import Farm
from components.vm import hardening
from components.vm.plan import Plan
from components.vm.role import CONTAINERS, Role
from controller.ssh import SSH_USER

DOCKER = ("apparmor", "docker.io")
"""A minimal Debian image lacks AppArmor's tools, without which Docker starts no container."""

# The agent's text comes over SSH and may change without another VM. The path unit starts the daemon
# when the text first comes, and at each boot after that.
_AGENT = f"""\
[Unit]
Description=Gatehouse agent: shows Traefik the containers that may serve
StartLimitIntervalSec=0

[Service]
User={SSH_USER}
StateDirectory=gatehouse
StateDirectoryMode=0700
ExecStart=/usr/bin/python3 /home/{SSH_USER}/agent.py serve /var/lib/gatehouse
Restart=always
RestartSec=100ms
"""
_AGENT_PATH = f"""\
[Path]
PathExists=/home/{SSH_USER}/agent.py

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, kw_only=True)
class Guest:
    """What differs from VM to VM, or comes from config."""

    hostname: str
    authorized_key: str
    host_key_private: str
    host_key_public: str
    packages: tuple[str, ...]
    registry_mirror: str | None
    role: Role = CONTAINERS


def guest(plan: Plan, farm: Farm, *, keys: Sequence[str]) -> Guest:
    """Return what a VM is told.

    Args:
        plan: What it is to be.
        farm: Its farm's config.
        keys: The user's public key, the host's private one and the host's public one.
    """
    ours = (*(DOCKER if plan.role is CONTAINERS else ()), *hardening.PACKAGES)
    return Guest(
        hostname=plan.name,
        authorized_key=keys[0],
        host_key_private=keys[1],
        host_key_public=keys[2],
        packages=(*(ours if farm.install_docker else ()), *plan.packages),
        registry_mirror=farm.registry_mirror,
        role=plan.role,
    )


@dataclass(frozen=True, kw_only=True)
class Static:
    """How a VM on somebody's bridge is addressed; on an own network DHCP tells it."""

    mac: str
    address: str
    """With its prefix, as in ``192.0.2.10/24``."""
    gateway: str
    dns: tuple[str, ...]


def user_data(guest: Guest) -> str:
    """Return the ``user-data`` document; it holds the private host key, so treat it as a secret."""
    container_host = guest.role is CONTAINERS
    files = {**hardening.FILES, **(_container_host_files(guest) if container_host else {})}
    document: dict[str, Any] = {
        "hostname": guest.hostname,
        "locale": "C.UTF-8",  # a minimal Debian image has no other, and cloud-init ends in error
        "disable_root": True,
        "ssh_deletekeys": True,
        "ssh_keys": {
            "ed25519_private": guest.host_key_private,
            "ed25519_public": guest.host_key_public,
        },
        **({"groups": ["docker"]} if container_host else {}),
        "users": [_user(guest)],
        "write_files": [_file(path, text) for path, text in files.items()],
        "runcmd": [
            *([["systemctl", "enable", "--now", "gatehouse-agent.path"]] if container_host else []),
            *(list(command) for command in hardening.COMMANDS),
        ],
    }
    if guest.packages:
        document |= {"package_update": True, "packages": sorted(guest.packages)}
    return "#cloud-config\n" + _yaml(document)


def _container_host_files(guest: Guest) -> Mapping[str, str]:
    return {
        **hardening.CONTAINER_HOST_FILES,
        "/etc/docker/daemon.json": json.dumps(_docker_daemon(guest), indent=2) + "\n",
        "/etc/systemd/system/gatehouse-agent.service": _AGENT,
        "/etc/systemd/system/gatehouse-agent.path": _AGENT_PATH,
    }


def _user(guest: Guest) -> Mapping[str, Any]:
    """Return the one who may enter.

    The edge's program and the firewall take root. Who may use Docker is root in all but name, so
    that sudo gives nothing away.
    """
    return {
        "name": SSH_USER,
        "groups": [*(["docker"] if guest.role is CONTAINERS else []), "systemd-journal"],
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

    By the MAC address, because the name of the network card depends on the image.
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


def _docker_daemon(guest: Guest) -> Mapping[str, Any]:
    settings: dict[str, Any] = {
        "live-restore": True,  # containers go on serving while Docker itself is restarted
        "log-driver": "json-file",
        "log-opts": {"max-size": "10m", "max-file": "3"},
    }
    if guest.registry_mirror is not None:
        settings["registry-mirrors"] = [guest.registry_mirror]
    return settings


def _file(path: str, content: str) -> Mapping[str, str]:
    return {"path": path, "permissions": "0644", "content": content}


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as such, so that a diff of it can be read."""


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _yaml(document: Mapping[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=1000)
