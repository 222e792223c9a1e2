"""The mark of an ``apply``, in the edge's folder: see `remote.mark`."""

from pathlib import Path

from remote import mark
from remote.edge_agent.bundle import write_file


def made(folder: Path, printed: str = "") -> str:
    """Give the edge in a folder its mark, and return it.

    Args:
        folder: The edge's.
        printed: The previous output of the same ``apply``, whose mark stays; empty if it is new.
    """
    its = mark.made(printed)
    write_file(_file(folder), its)
    return its


def is_another(folder: Path, printed: str | None) -> bool:
    """Whether the edge has another mark than the output of an ``apply``; None stands for any."""
    try:
        return mark.is_another(_file(folder).read_text(encoding="ascii"), printed)
    except (OSError, ValueError):  # an older version's, or a damaged one
        return False


def _file(folder: Path) -> Path:
    return folder / "mark"
