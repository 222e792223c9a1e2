"""What another machine or program said, made safe to be shown."""

import re

_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters, but for line ends and tabs, and those that turn the direction of text."""
MOST = 4000
"""Characters that are kept, from the end."""


def printable(foreign: str) -> str:
    """Return a text of which a terminal shows everything, and no more than `MOST` characters.

    Control characters could move the terminal's cursor, clear it, or hide what was said. They
    become U+FFFD.
    """
    plain = _HIDDEN.sub("\ufffd", foreign)
    return plain if len(plain) <= MOST else f"...{plain[-MOST:]}"
