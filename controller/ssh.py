"""SSH to other machines, verified from the first connection."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SSH_USER = "gatehouse"
# The path of a Unix socket has 104 bytes with its NUL on macOS, and 108 on Linux. ssh appends a dot
# and 16 letters until the connection is there.
_SOCKET_LIMIT = 104 - 1 - 17
_ADDRESS_LIMIT = len("255.255.255.255")
# On a VM under full load, sshd took over 10 s for its first message.
_PATIENCE = ("ConnectTimeout=30", "ServerAliveInterval=15")


class EnterError(Exception):
    """A VM cannot be entered from here; the message says why and what to do."""


def verified(*, known_hosts: str, host: str) -> tuple[str, ...]:
    """Return the options of ``ssh`` for a machine called ``host``, beside the user's config."""
    return _options("BatchMode=yes", *_pinned(known_hosts, host), *_PATIENCE)


def options(*, key_file: str, known_hosts: str, host: str) -> tuple[str, ...]:
    """Return the options of ``ssh`` for the VM called ``host``, whatever the user's own config.

    Connections that follow each other within 30 s share one handshake, which takes an emulated CPU
    about a second. They do not if the path of ``known_hosts`` is too long for a socket beside it.
    """
    settings = (
        "BatchMode=yes",
        "IdentitiesOnly=yes",
        *_pinned(known_hosts, host),
        "HostKeyAlgorithms=ssh-ed25519",
        *_PATIENCE,
        *_shared(Path(known_hosts), host),
    )
    return ("-F", "none", "-i", key_file, *_options(*settings))


def options_in(keys: Path, vm: str) -> tuple[str, ...]:
    """Return these options for a VM of the stack whose key files are in the folder ``keys``."""
    key_file, known_hosts = _files(keys, vm)
    return options(key_file=str(key_file), known_hosts=str(known_hosts), host=vm)


def addresses(outputs: Mapping[str, Any]) -> dict[str, str]:
    """Return the address of each VM in a stack's outputs; an edge VM is the last one.

    Args:
        outputs: Of the whole stack, as ``pulumi stack output --json`` prints them.
    """
    found = {name: str(vm["address"]) for name, vm in outputs.get("vms", {}).items()}
    edge = outputs.get("edge", {})
    if "vm" in edge:
        found[edge["vm"]] = str(edge["address"]).rpartition(":")[0]
    return found


def entering(
    outputs: Mapping[str, Any], vm: str, keys: Path, *, command: str = "", missing: str
) -> tuple[str, ...]:
    """Return the words that open a shell on a VM, or run a command there.

    Args:
        outputs: Of the whole stack.
        vm: The VM's name.
        keys: The folder of the stack's key files.
        command: The command to run there; none for an interactive shell.
        missing: The advice for when the files are missing.

    Raises:
        EnterError: There is no such VM, or its key files are not on this machine.
    """
    found = addresses(outputs)
    if vm not in found:
        if not found:
            raise EnterError(
                "VM: the stack has no addresses of VMs before a `pulumi up` has succeeded; run it"
                " again, or look at the VM's console with `virsh console`"
                f" (got {vm or 'none'})"
            )
        there = f"there are {', '.join(found)}"
        raise EnterError(f"VM: must be one of the stack's VMs; {there} (got {vm or 'none'})")
    for file in _files(keys, vm):
        if not file.is_file():
            raise EnterError(f"{file} is not on this machine: {missing}")
    words = ("ssh", *options_in(keys, vm), f"{SSH_USER}@{found[vm]}")
    # ssh would read a word that begins with a hyphen as its own option.
    return (*words, "--", command) if command else words


def known_hosts_line(host: str, public_key: str) -> str:
    """Return the line of a known_hosts file that pins ``public_key`` for ``host``."""
    algorithm, key = public_key.split()[:2]
    return f"{host} {algorithm} {key}\n"


def _files(keys: Path, vm: str) -> tuple[Path, Path]:
    return keys / "id_ed25519", keys / f"{vm}.known_hosts"


def _shared(known_hosts: Path, host: str) -> tuple[str, ...]:
    """Return the settings for a socket in the folder of ``known_hosts``, which is private.

    The socket has that file's name if there is room, as in earlier versions: a change of ``ssh``'s
    words would run the graph's commands again. Else its name is a digest, as VM names may be long.
    """
    digest = hashlib.sha256(f"{known_hosts.name}\n{host}".encode()).hexdigest()[:12]
    for start in (f"{known_hosts}.", f"{known_hosts.parent / f'ssh-{digest}'}."):
        if len(os.fsencode(start)) + _ADDRESS_LIMIT <= _SOCKET_LIMIT:
            path = f"{start.replace('%', '%%')}%h"
            return ("ControlMaster=auto", f"ControlPath={path}", "ControlPersist=30s")
    return ("ControlMaster=no", "ControlPath=none")


def _pinned(known_hosts: str, host: str) -> tuple[str, ...]:
    """Return the option that looks up the host's key by its name rather than its address.

    An address may later belong to another machine.
    """
    return (
        "StrictHostKeyChecking=yes",
        f"UserKnownHostsFile={known_hosts}",
        "GlobalKnownHostsFile=/dev/null",
        f"HostKeyAlias={host}",
    )


def _options(*settings: str) -> tuple[str, ...]:
    return tuple(part for each in settings for part in ("-o", each))
