"""The mark of what a command has put into force: what undoes it goes by the mark.

Pulumi replaces a command by making the new one and then undoing the old one. If both mean the same
thing, as with ``pulumi up --replace``, the old one must not take away what the new one has just put
into force. So each command prints a mark and keeps it beside what it has put into force. The
command that undoes it gets that output.

A command that is updated in place gets its previous output, and keeps its mark. Otherwise Pulumi
could not undo it after an update whose output it never got, because it was killed or lost the
connection.
"""

import re
import secrets

_MARK = r"[0-9a-f]{16}"


def made(printed: str = "") -> str:
    """Return the mark for what a command puts into force.

    Args:
        printed: The previous output of the same command, whose mark stays; empty if it is new.
    """
    known = re.search(rf"\b{_MARK}\b", printed)
    return known[0] if known else secrets.token_hex(8)


def read(kept: object) -> str:
    """Return a mark as it was kept; empty if an older version kept none, or it is damaged."""
    return kept if isinstance(kept, str) and re.fullmatch(_MARK, kept) else ""


def is_another(kept: object, printed: str | None) -> bool:
    """Whether what is in force has another mark than the output of the command to undo.

    Args:
        kept: The mark in force. One that is missing or damaged is no other.
        printed: The output; None stands for any.
    """
    mark = read(kept)
    return bool(mark) and printed is not None and mark not in printed
