"""What cloud-init gets for a config, held against the config.

The structure of a text is compared with that of one rendered from plain values.
"""

import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from components.config.models.stack import Stack
from components.edge.edge_vm import EDGE, edge_vm_spec
from components.host.container_vm import container_vm_spec
from components.placement import vm_names
from components.vm import cloudinit, hardening
from components.vm.addresses import mac_address, static_address
from components.vm.role import Role
from tests.support.rendering import STACK
from tests.support.strategies import SECRET

_SCHEMA = "usr/lib/python3/dist-packages/cloudinit/config/schemas/schema-cloud-config-v1.json"


def user_data(stack: Stack) -> Iterator[str]:
    """Yield each kind of VM's user-data, once it is seen to be read back as it was meant."""
    last = vm_names(stack.farm.name, stack.farm.vms)[-1]
    specs = [container_vm_spec(stack.farm, last, stack.farm.vms - 1)]
    specs += [edge_vm_spec(stack.farm, stack.edge.vm)] if stack.edge.vm is not None else []
    keys = ("ssh-ed25519 AAAAuser gatehouse-fuzz", _PRIVATE, "ssh-ed25519 AAAAhost")
    names = {spec.name for spec in specs}
    assert len(names) == len(specs)
    assert names - {last} <= {f"{stack.farm.name}-edge"}
    for spec in specs:
        guest = cloudinit.guest(spec, stack.farm, keys=keys)
        text = cloudinit.user_data(guest)
        read_back(guest, text)
        assert yaml.safe_load(cloudinit.meta_data(spec.name)) == {
            "instance-id": spec.name,
            "local-hostname": spec.name,
        }
        static = static_address(spec, stack.farm.network, STACK)
        assert (static is None) == (stack.farm.network.bridge is None)
        if static is not None:
            network_read_back(static, cloudinit.network_config(static))
        if spec.role is EDGE:
            assert spec.address is not None
            assert mac_address(spec, STACK) is not None
        assert SECRET not in text
        yield text


_PRIVATE = "-----BEGIN KEY-----\nab\n-----END KEY-----\n"


def read_back(guest: cloudinit.Guest, text: str) -> None:
    """Hold user-data against what it is made from."""
    assert text.startswith("#cloud-config\n")
    document = yaml.safe_load(text)
    packages = sorted(guest.packages)
    role = guest.role
    plain = (role.groups, tuple(role.files), role.commands)
    assert _shape(document) == _plain_shape(len(packages), *plain)
    assert document["hostname"] == guest.hostname
    assert document["ssh_keys"] == {
        "ed25519_private": guest.host_key_private,
        "ed25519_public": guest.host_key_public,
    }
    (user,) = document["users"]
    assert user["ssh_authorized_keys"] == [guest.authorized_key]
    assert (user["name"], user["lock_passwd"]) == ("gatehouse", True)
    assert document.get("packages", []) == packages
    files = {file["path"]: file["content"] for file in document["write_files"]}
    assert files == {**hardening.FILES, **role.files}


@cache
def _plain_shape(
    packages: int,
    groups: tuple[str, ...],
    files: tuple[str, ...],
    commands: tuple[tuple[str, ...], ...],
) -> Any:
    role = Role(
        ready="",
        waits_for="",
        drain=None,
        groups=groups,
        files=dict.fromkeys(files, "a"),
        commands=commands,
    )
    plain = cloudinit.Guest(
        hostname="a",
        authorized_key="a",
        host_key_private="a",
        host_key_public="a",
        packages=("a",) * packages,
        role=role,
    )
    return _shape(yaml.safe_load(cloudinit.user_data(plain)))


def network_read_back(static: cloudinit.Static, text: str) -> None:
    """Hold a network-config against what it is made from."""
    (card,) = yaml.safe_load(text)["ethernets"].values()
    assert card["match"] == {"macaddress": static.mac}
    assert card["addresses"] == [static.address]
    assert card["gateway4"] == static.gateway
    assert card.get("nameservers", {}).get("addresses", []) == list(static.dns)


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_shape(each) for each in value]
    return type(value)


@cache
def cloud_init_schema() -> jsonschema.Draft4Validator | None:
    """Return cloud-init's own schema, from ``make fuzz`` or from an installed cloud-init."""
    for root in (Path(sys.prefix) / "cloud-init", Path("/")):
        if (root / _SCHEMA).exists():
            return jsonschema.Draft4Validator(json.loads((root / _SCHEMA).read_text()))
    return None
