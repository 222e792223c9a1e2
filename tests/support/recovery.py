"""A stack after an update that was cut short, with stand-ins for pulumi, virsh and ssh."""

import json
from pathlib import Path
from typing import Any

from recovery.__main__ import main

URN = "urn:pulumi:prod::gatehouse::"
LIBVIRT: dict[str, Any] = {
    "urn": f"{URN}pulumi:providers:libvirt::farm-libvirt",
    "id": "1",
    "type": "pulumi:providers:libvirt",
    "inputs": {"uri": "qemu:///system"},
}
DOCKER: dict[str, Any] = {
    "urn": f"{URN}pulumi:providers:docker::web-0-host-docker",
    "id": "2",
    "type": "pulumi:providers:docker",
    "inputs": {"host": "ssh://gatehouse@10.90.0.7", "sshOpts": '["-F","none","-i","the key"]'},
}
PULUMI = """#!/bin/sh
echo "$PWD: $*" >>"$STATE/calls"
case "$1 $2" in
  "stack export") case "$3" in
      --file)
        ! grep -q refresh "$STATE/calls" || ! [ -e "$STATE/refreshed.json" ] ||
          cp "$STATE/refreshed.json" "$STATE/export.json"
        cp "$STATE/export.json" "$4" ;;
      *) [ "$PULUMI_CONFIG_PASSPHRASE" != wrong ] || exit 1 ;;
    esac ;;
  "stack import") cp "$4" "$STATE/imported.json" ;;
esac
[ "$1" != "$(cat "$STATE/fail" 2>/dev/null)" ]
"""
VIRSH = """#!/bin/sh
shift 3
echo "virsh $*" >>"$STATE/calls"
case "$1" in
  domuuid) [ -e "$STATE/there" ] || { echo "error: failed to get domain '$2'" >&2; exit 1; } ;;
  vol-key) [ -e "$STATE/there" ] || { echo "error: failed to get vol '$2'" >&2; exit 1; } ;;
esac
"""
SSH = """#!/bin/sh
for last; do :; done
echo "ssh $last" >>"$STATE/calls"
[ ! -e "$STATE/gone" ] || { echo "Connection timed out" >&2; exit 255; }
case "$last" in
  *inspect*) [ -e "$STATE/there" ] || { echo "Error: No such container: x" >&2; exit 1; } ;;
esac
"""


def creating(type_token: str, name: str, provider: dict[str, Any], **inputs: Any) -> dict[str, Any]:
    return {
        "type": "creating",
        "resource": {
            "urn": f"{URN}{type_token}::{name}",
            "type": type_token,
            "provider": f"{provider['urn']}::{provider['id']}",
            "inputs": {"name": f"{name}-1a2b3c4"} | inputs,
        },
    }


DOMAIN = creating("libvirt:index/domain:Domain", "web-1-domain", LIBVIRT)
VOLUME = creating("libvirt:index/volume:Volume", "web-1-disk", LIBVIRT, pool="farm-pool-0000001")
CONTAINER = creating("docker:index/container:Container", "hello-web-0-0", DOCKER)
COMMAND = creating("command:local:Command", "web-1-boot", LIBVIRT)
UPDATING = {**COMMAND, "type": "updating"}


class Stack:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = folder / "project"
        self.project.mkdir()

    def has(
        self,
        *operations: dict[str, Any],
        resources: tuple[dict[str, Any], ...] = (),
        secrets: str = "cloud",
    ) -> None:
        deployment = {
            "secrets_providers": {"type": secrets},
            "resources": [LIBVIRT, DOCKER, *resources],
            "pending_operations": list(operations),
        }
        text = json.dumps({"version": 3, "deployment": deployment})
        (self.folder / "export.json").write_text(text)

    def recover(self, *options: str) -> int:
        return main(["--stack", "prod", "--project", str(self.project), *options])

    @property
    def calls(self) -> list[str]:
        place = f"{self.project}: "
        lines = (self.folder / "calls").read_text().splitlines()
        return [line.removeprefix(place).removesuffix(" --stack prod") for line in lines]

    @property
    def changes(self) -> list[str]:
        look = ("stack export", "virsh domuuid", "virsh vol-key")
        return [
            call.partition(" --file")[0]
            for call in self.calls
            if not call.startswith(look) and "inspect" not in call
        ]


UP = ["refresh --yes --skip-preview --skip-pending-creates", "up --yes --skip-preview"]


def command(name: str, **more: Any) -> dict[str, Any]:
    """Return a command as a state has it."""
    kind = "command:local:Command"
    properties = {"create": f"make {name}", "environment": {"A": "b"}} | more
    return {
        "urn": f"{URN}{kind}::{name}",
        "type": kind,
        "id": name,
        "inputs": properties,
        "outputs": {**properties, "stdout": "printed"},
    }


def interrupted(kind: str, resource: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "resource": resource}
