"""What a VM is for, as whatever runs on it says: what it needs, when it is ready, how it drains."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Role:
    """The purpose of a VM."""

    ready: str
    """A shell command on the VM that exits with 0 once the VM is ready."""
    waits_for: str
    """What that command waits for, in an error's words."""
    drain: str | None
    """A shell command that ends the requests in flight; ``{seconds}`` is how long it may take."""
    packages: tuple[str, ...] = ()
    """To install unless the image has them."""
    groups: tuple[str, ...] = ()
    """Groups to make, with the user that may enter in them."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Texts by path."""
    commands: tuple[tuple[str, ...], ...] = ()
    """To run at the first boot's end."""
