"""A VM's role: its needs, readiness and draining, defined by `host` and `edge`."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Role:
    """The purpose of a VM."""

    ready: str
    """A shell command on the VM that exits with 0 once the VM is ready."""
    waits_for: str
    """The condition that the command tests, in words for errors."""
    drain: str | None
    """A shell command that ends the requests in flight; ``{seconds}`` is how long it may take."""
    packages: tuple[str, ...] = ()
    """Packages to install unless the image has them."""
    groups: tuple[str, ...] = ()
    """Groups to create; the user for SSH becomes a member."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Files: their texts by path."""
    commands: tuple[tuple[str, ...], ...] = ()
    """Commands at the end of the first boot."""
