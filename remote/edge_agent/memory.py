"""How many connections the edge takes at once, by the memory of its host.

HAProxy's own default depends on the number of file descriptors alone, and a host with little memory
has as many of those as any other.
"""

import os
from dataclasses import replace

from remote.edge_agent.bundle import Bundle

_EACH = 256 * 1024
"""Bytes of the host's memory per connection. HAProxy may use half of the memory. A connection with
both buffers of 80 KiB in use takes 130 to 220 KiB, an idle one 3 KiB (2.6.12, measured)."""
_LEAST = 500
_BESIDE = 500
"""Descriptors beside those of clients' connections and checks: listeners, threads, logs.
HAProxy 2.6.12 needs about 40 of them, and gives the others to some 230 more connections."""


def descriptors(connections: int, checks: int = 0) -> int:
    """Return how many descriptors HAProxy may have.

    Args:
        connections: How many client connections it should take.
        checks: How many servers have a check; HAProxy keeps a descriptor for each.
    """
    return 2 * connections + checks + _BESIDE


def connections(memory: int) -> int:
    """Return how many connections a host with so many bytes of memory has room for."""
    return max(_LEAST, memory // _EACH)


def limited(new: Bundle, most: int | None, memory: int | None = None, checks: int = 0) -> Bundle:
    """Return a haproxy.cfg with a limit of connections.

    Not ``maxconn``: HAProxy would not start where the system's limit of descriptors is lower.

    Args:
        new: The configuration.
        most: The config's limit, if it has one; otherwise the memory decides.
        memory: Bytes of memory; this host's if not given.
        checks: How many servers have a check.
    """
    if memory is None:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = descriptors(most or connections(memory), checks)
    return replace(new, config=f"{new.config}\nglobal\n    fd-hard-limit {limit}\n")
