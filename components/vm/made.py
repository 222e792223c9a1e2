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
    """A digest of all these values, which the engine compares; empty if it is not known."""
    holds: str = ""
    """The name of the disk that its data is on; empty if the VM never came up."""
    begun: bool = False
    """Whether a failed update has begun to replace the VM. The engine then completes that, and
    deletes the disk with the data, whatever the config says."""
    disk: str = ""
    """The name of the VM's disk at the time of the record; ``domain`` is the id of its domain. Both
    are empty if they are not known."""
    domain: str = ""


def record(
    made: Made, before: Made | None, generation: str, disk: str, domain: str
) -> dict[str, object]:
    """Return the record of a VM that ``components.data.inventory`` reads in the next run.

    Only facts about the existing VM: an update with ``--target`` or ``--exclude`` may skip the VM,
    and still write its outputs.

    Args:
        made: The values that the config asks for.
        before: The record of the last run, if there is one.
        generation: The generation that the config asks for.
        disk: The name of the VM's current disk, new or not.
        domain: The id of its current domain.
    """
    known = {"generation": generation, "text": made.text, "reasons": dict(made.reasons)}
    same = before is not None and (before.disk, before.domain) == (disk, domain)
    if before is not None and same and before.generation:
        reasons = {**made.reasons, **before.reasons}
        known = {"generation": before.generation, "text": before.text, "reasons": reasons}
    return {**known, "disk": disk, "holds": made.holds}
