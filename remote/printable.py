"""Make text from another machine or program safe to show."""

import re

_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters except line ends and tabs, and characters that change the text direction."""
MOST = 4000
"""How many characters are kept, from the end."""


def printable(foreign: str) -> str:
    """Return a text without characters that act on a terminal, cut to `MOST` characters.

    Control characters could move the terminal's cursor, clear it, or hide what was said. They
    become U+FFFD.
    """
    plain = _HIDDEN.sub("\ufffd", foreign)
    return plain if len(plain) <= MOST else f"...{plain[-MOST:]}"
