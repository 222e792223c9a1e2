"""The mark of an ``apply``, in the edge's folder: see `remote.mark`."""

from pathlib import Path

from remote import mark
from remote.edge_agent.bundle import write_file


def made(folder: Path, printed: str = "") -> str:
    """Write the mark of the edge in a folder, and return it.

    Args:
        folder: The edge's folder.
        printed: The previous output of the same ``apply``, whose mark stays; empty for a new one.
    """
    its = mark.made(printed)
    write_file(_file(folder), its)
    return its


def is_another(folder: Path, printed: str | None) -> bool:
    """Whether the edge's mark differs from that in the output of an ``apply``; None means any."""
    try:
        return mark.is_another(_file(folder).read_text(encoding="ascii"), printed)
    except (OSError, ValueError):  # an older version's, or a damaged one
        return False


def _file(folder: Path) -> Path:
    return folder / "mark"
