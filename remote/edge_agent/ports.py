"""The addresses that HAProxy is to listen on, and the processes that hold them."""

import re
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from remote.edge_agent.facts import Listener

_LISTENS = "0A"
_ALL = {"0.0.0.0", "::"}  # noqa: S104 - to compare with


def in_use(
    new: Iterable[Listener], before: Iterable[Listener], pids: Iterable[int] = ()
) -> list[str]:
    """Return the addresses of a new configuration that another process holds.

    Args:
        new: The listeners of the new configuration.
        before: Those of HAProxy's current configuration, as far as they are known.
        pids: HAProxy's own processes. They may listen elsewhere than ``before`` says, if the
            configuration's files are damaged, or on all addresses where the new one has one.
    """
    taken = []
    known = {each.where for each in before}
    ours = set(_sockets(pids))
    for each in new:
        if each.where in known:
            continue
        family = socket.AF_INET6 if ":" in each.address else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((each.address, each.port))
            except OSError as error:
                holders = set(_holders(each.address, each.port))
                if not holders or not holders <= ours:
                    taken.append(
                        f"{each.address_key} {each.address}, {each.port_key} {each.port}:"
                        f" {error.strerror}"
                    )
    return taken


def _sockets(pids: Iterable[int]) -> Iterator[str]:
    """Yield the inodes of the sockets of processes, as far as this process may see them."""
    for pid in pids:
        with suppress(OSError):
            for each in Path(f"/proc/{pid}/fd").iterdir():
                if found := re.fullmatch(r"socket:\[(\d+)\]", str(each.readlink())):
                    yield found[1]


def _holders(host: str, port: int) -> Iterator[str]:
    """Yield the inodes of the sockets that listen on an address."""
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
                words = line.split()
                where, _, on = words[1].partition(":")
                if words[3] == _LISTENS and int(on, 16) == port:
                    listens_at = _address(where)
                    if listens_at == host or _ALL & {listens_at, host}:
                        yield words[9]


def _address(shown: str) -> str:
    """Return an address of /proc/net/tcp, whose words have the machine's byte order."""
    words = [int(shown[at : at + 8], 16) for at in range(0, len(shown), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    return socket.inet_ntop(socket.AF_INET if len(words) == 1 else socket.AF_INET6, packed)
