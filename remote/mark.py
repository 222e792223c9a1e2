"""Marks, by which a deletion sees whether the effect of its command is still in force.

Pulumi replaces a command by running the new one and then undoing the old one, so the old one must
not undo the effect of the new one. Each new command makes a mark of 16 hexadecimal digits. It
stores the mark beside its effect, and prints it.

A command that Pulumi updates in place gets its previous output, and keeps the mark in it. Otherwise
Pulumi could not undo the command any more after an update whose output it never got, because it was
killed or lost the connection.
"""

import re
import secrets

ANY = "any-mark"
"""The output of a run that was killed before its output was known; `recovery` writes it."""

_MARK = re.compile(r"\b[0-9a-f]{16}\b")


def made(printed: str = "") -> str:
    """Return the mark of a run.

    Args:
        printed: The previous output of the same command, whose mark stays; empty for a new one.
    """
    known = _MARK.search(printed)
    return known[0] if known else secrets.token_hex(8)


def is_another(mark: str, printed: str | None) -> bool:
    """Whether the effect in force belongs to another run than the one to undo.

    Args:
        mark: The mark stored beside the effect. A damaged one counts as none, as does an older
            version's content.
        printed: The output of the run to undo; None and ``ANY`` stand for any.
    """
    if printed is None or printed.strip() == ANY:
        return False
    return _MARK.fullmatch(mark) is not None and mark not in printed
