"""The values that a VM is made from, kept in the state for the next run to compare."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Made:
    """The values that a VM was or will be made from."""

    reasons: Mapping[str, str]
    """The config values whose change replaces the VM, by the paths of their keys."""
    text: str
    """A digest of the text that it got at its first boot."""
    generation: str = ""
    """A digest of all of it, which the engine compares; empty where that is not known."""
    holds: str = ""
    """The name of the disk that its data is on; empty if the VM never came up."""
    begun: bool = False
    """Whether a failed update has begun to replace it: the engine completes that, and deletes
    the disk that the data is on, whatever the config says."""
    disk: str = ""
    """The name of its disk when this was kept, and ``domain`` the id of its domain; empty if that
    is not known."""
    domain: str = ""


def record(
    made: Made, before: Made | None, generation: str, disk: str, domain: str
) -> dict[str, object]:
    """Return what ``components.data.inventory`` reads of a VM in the next run.

    Only facts about the existing VM: an update with ``--target`` or ``--exclude`` may skip the VM,
    and still write its outputs.

    Args:
        made: What the config asks for.
        before: What the last run kept, if anything.
        generation: The one that the config asks for.
        disk: The name of the VM's disk now, be it new or not.
        domain: The id of its domain now.
    """
    known = {"generation": generation, "text": made.text, "reasons": dict(made.reasons)}
    same = before is not None and (before.disk, before.domain) == (disk, domain)
    if before is not None and same and before.generation:
        reasons = {**made.reasons, **before.reasons}
        known = {"generation": before.generation, "text": before.text, "reasons": reasons}
    return {**known, "disk": disk, "holds": made.holds}
