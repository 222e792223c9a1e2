"""The mark of an ``apply``: by it, ``remove`` knows whether what it is to undo is still in force.

Pulumi replaces a command by making the new one and then undoing the old one. If both mean the same
edge, as with ``pulumi up --replace``, or if `edge.host` is another name of the same machine, the
old one must not take away what the new one has just put into force.
"""

import secrets
from pathlib import Path

from remote.edge_agent.bundle import write_file


def made(folder: Path) -> str:
    """Give the edge in a folder a new mark, and return it."""
    mark = secrets.token_hex(8)
    write_file(_file(folder), mark)
    return mark


def is_another(folder: Path, printed: str | None) -> bool:
    """Whether the edge has another mark than the output of an ``apply``; None stands for any."""
    try:
        return printed is not None and _file(folder).read_text(encoding="utf-8") not in printed
    except (OSError, ValueError):  # an older version's, or a damaged one
        return False


def _file(folder: Path) -> Path:
    return folder / "mark"
