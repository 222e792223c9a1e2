"""What a VM is for: when it is ready, and what it has to do before it is powered off."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Role:
    """One of ``ROLES``."""

    name: str
    ready: str
    """A shell command on the VM that ends with 0 once it is what it is for."""
    waits_for: str
    """What that is, in an error's words."""
    leave: str | None
    """A shell command that ends the requests in flight; ``{seconds}`` is how long it may take."""


CONTAINERS = Role(
    name="containers",
    # Packages may still be coming.
    ready="test -x /usr/sbin/nft || { echo it has no nftables >&2; exit 1; };"
    " docker version --format '{{.Server.Version}}'",
    waits_for="Docker",
    leave="python3 agent.py evacuate {seconds:.0f}",
)
EDGE = Role(
    name="edge",
    # The first boot may be installing packages until then, and apt lets in one at a time.
    ready="test -e /run/cloud-init/result.json || { echo cloud-init is not done >&2; exit 1; };"
    " sudo -n true",
    waits_for="the end of its first boot",
    leave=None,  # HAProxy's unit ends the requests in flight when the VM is powered off
)
ROLES = {role.name: role for role in (CONTAINERS, EDGE)}
