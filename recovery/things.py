"""Resources that an interrupted creation may have left: found by their names, and removed.

It uses `virsh` and `docker`, as an operator would.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_SECONDS = 120.0

Run = Callable[..., subprocess.CompletedProcess[str]]


class Unreachable(Exception):  # noqa: N818 - what it is
    """The hypervisor or Docker does not answer; the text names it."""


class RemoveError(Exception):
    """The resource exists and cannot be removed; the text says why."""


@dataclass(frozen=True)
class Kind:
    """One kind of thing; ``{name}`` and ``{pool}`` stand for what is meant."""

    noun: str
    look: tuple[str, ...]
    """The command that succeeds if the resource exists."""
    remove: tuple[tuple[str, ...], ...]
    """The commands that remove it; only the last one has to succeed."""


_LIBVIRT = {
    "libvirt:index/domain:Domain": Kind(
        "domain",
        ("domuuid", "{name}"),
        (
            ("destroy", "{name}"),
            (
                *("undefine", "{name}", "--nvram", "--managed-save"),
                *("--snapshots-metadata", "--checkpoints-metadata"),
            ),
        ),
    ),
    "libvirt:index/volume:Volume": Kind(
        "volume",
        ("vol-key", "{name}", "--pool", "{pool}"),
        (("vol-delete", "{name}", "--pool", "{pool}"),),
    ),
    "libvirt:index/network:Network": Kind(
        "network",
        ("net-uuid", "{name}"),
        (("net-destroy", "{name}"), ("net-undefine", "{name}")),
    ),
    "libvirt:index/pool:Pool": Kind(
        "pool",
        ("pool-uuid", "{name}"),
        (("pool-destroy", "{name}"), ("pool-delete", "{name}"), ("pool-undefine", "{name}")),
    ),
}
_DOCKER = {
    "docker:index/container:Container": Kind(
        "container",
        ("container", "inspect", "{name}"),
        (("container", "rm", "--force", "--volumes", "{name}"),),
    ),
    "docker:index/network:Network": Kind(
        "network of Docker", ("network", "inspect", "{name}"), (("network", "rm", "{name}"),)
    ),
    "docker:index/volume:Volume": Kind(
        "volume of Docker", ("volume", "inspect", "{name}"), (("volume", "rm", "{name}"),)
    ),
}


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One that a creation may have left."""

    kind: Kind
    name: str
    pool: str
    """Of a volume of libvirt's."""
    where: str
    """A libvirt URI, or ``ssh://user@host`` for the Docker there."""
    command: tuple[str, ...]
    """The words that those of ``kind`` follow."""
    gone: tuple[str, ...]
    """Messages about a resource that does not exist, in lower case."""
    over_ssh: bool
    run: Run = subprocess.run

    def __str__(self) -> str:
        """Return what it is, for people."""
        return f"{self.kind.noun} {self.name} on {self.where}"

    def exists(self) -> bool:
        """Return whether it is there.

        Raises:
            Unreachable: There is no answer.
        """
        done = self._run(self.kind.look)
        if done.returncode == 0:
            return True
        if any(words in done.stderr.lower() for words in self.gone):
            return False
        raise Unreachable(f"{self.where}: {_last(done.stderr)}")

    def remove(self) -> None:
        """Remove it.

        Raises:
            Unreachable: There is no answer.
            RemoveError: It could not be.
        """
        for words in self.kind.remove:
            done = self._run(words)
        if done.returncode != 0:
            raise RemoveError(f"{self} cannot be removed: {_last(done.stderr)}")

    def _run(self, words: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        # With replace and not with format: a name may have braces.
        own = [word.replace("{name}", self.name).replace("{pool}", self.pool) for word in words]
        argv = [*self.command, *([shlex.join(("docker", *own))] if self.over_ssh else own)]
        try:
            return self.run(
                argv,
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unreachable(f"{self.where}: {error}") from error


def thing(type_token: str, inputs: Mapping[str, Any], provider: Mapping[str, Any]) -> Thing | None:
    """Return what a creation may have left; None for what leaves nothing, as commands do.

    Args:
        type_token: The resource's type.
        inputs: The resource's, with the name that the engine had chosen.
        provider: The inputs of its provider.

    Raises:
        Unreachable: The pending operation has no name or address of it.
    """
    kinds = {**_LIBVIRT, **_DOCKER}
    if type_token not in kinds:
        return None
    told = {
        "name": inputs.get("name"),
        "pool": inputs.get("pool", ""),
        "where": provider.get("uri" if type_token in _LIBVIRT else "host"),
    }
    for key, value in told.items():
        if not isinstance(value, str):
            raise Unreachable(f"the pending operation of a {kinds[type_token].noun} has no {key}")
    common = {"kind": kinds[type_token], **told}
    if type_token in _LIBVIRT:
        command = ("env", "LC_ALL=C", "virsh", "--quiet", "--connect", str(told["where"]))
        gone: tuple[str, ...] = ("not found", "failed to get")
        return Thing(**common, command=command, gone=gone, over_ssh=False)
    options = provider.get("sshOpts") or []
    options = json.loads(options) if isinstance(options, str) else options
    at = urlsplit(str(told["where"]))
    if at.scheme != "ssh" or at.hostname is None:
        raise Unreachable(f"{told['where']}: is not ssh://user@host")
    command = (
        *("ssh", *options, "-o", "BatchMode=yes", "-o", "ConnectTimeout=30"),
        *(("-l", at.username) if at.username else ()),
        *("-p", str(at.port or 22), "--", at.hostname),
    )
    gone = ("no such container", "no such network", "no such volume", f"{told['name']} not found")
    return Thing(**common, command=command, gone=gone, over_ssh=True)


def _last(said: str) -> str:
    lines = said.strip().splitlines()
    return lines[-1].removeprefix("error: ") if lines else "no answer"
