"""Seals a text with its digest, so that the reader knows that it is complete.

The edge agent's input comes through a pipe or over SSH, and both may end early: half a haproxy.cfg
can be valid. So the last line has the digest of everything before it.
"""

import hashlib
import re

from remote.edge_agent.system import EdgeError

_LAST = re.compile(rb"#= sha256:([0-9a-f]{64})\n\Z")


def sealed(text: str) -> str:
    """Return a text with its digest as the last line."""
    return f"{text}#= sha256:{hashlib.sha256(text.encode()).hexdigest()}\n"


def opened(given: bytes) -> str:
    """Return the text that was sealed.

    Raises:
        EdgeError: The text is incomplete or was changed.
    """
    found = _LAST.search(given)
    if found is None:
        raise EdgeError(
            f"the input ends early: {len(given)} bytes without the last line, `#= sha256:…`;"
            " nothing was changed; run `pulumi up` again"
        )
    text = given[: found.start()]
    if hashlib.sha256(text).hexdigest() != found[1].decode():
        raise EdgeError(
            f"the input is not as it was sent: the digest of its {len(text)} bytes differs from"
            " its last line; nothing was changed; run `pulumi up` again"
        )
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise EdgeError(
            f"the input is not UTF-8: {error.reason} at byte {error.start}; nothing was"
            " changed; run `pulumi up` again"
        ) from None
