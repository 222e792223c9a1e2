"""Ports for servers that come and go."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
from collections.abc import Iterable, Iterator

# Below Linux's ephemeral ports: a connection might take one before its server listens. And other
# ports for each process, because tests run in several.
_FIRST, _PROCESSES, _EACH = 23_000, 36, 250
_FIRST_OF_THIS_PROCESS = _FIRST + os.getpid() % _PROCESSES * _EACH
_PORTS = itertools.cycle(range(_FIRST_OF_THIS_PROCESS, _FIRST_OF_THIS_PROCESS + _EACH))


def free(ports: Iterable[int]) -> Iterator[int]:
    """Yield the ports that are free on every address."""
    for port in ports:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("", port))
            yield port


def free_ports(count: int) -> list[int]:
    """Return free ports; each is returned again only after all others."""
    return list(itertools.islice(free(_PORTS), count))
