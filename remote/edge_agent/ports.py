"""The addresses that a haproxy.cfg listens on, and the processes that hold them."""

import re
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_LISTENS = "0A"
_ALL = {"0.0.0.0", "::"}  # noqa: S104 - to compare with


def in_use(text: str, previous: str, pids: Iterable[int] = ()) -> list[str]:
    """Return the addresses of a new configuration that another process holds.

    Args:
        text: The new configuration.
        previous: The one that HAProxy has.
        pids: HAProxy's own processes. They may listen where the text from before does not say, as
            it may be damaged, or at all addresses where the new one names one.
    """
    taken = []
    before = listening(previous)
    ours = set(_sockets(pids))
    for (host, port), keys in sorted(listening(text).items()):
        if (host, port) in before:
            continue
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, int(port)))
            except OSError as error:
                holders = set(_holders(host, port))
                if not holders or not holders <= ours:
                    taken.append(f"{keys[0]} {host}, {keys[1]} {port}: {error.strerror}")
    return taken


def listening(text: str) -> dict[tuple[str, str], tuple[str, str]]:
    """Return the addresses and ports in a text, with the paths of their keys in the config."""
    found, key = {}, "edge"
    for line in text.splitlines():
        if line.startswith("frontend "):
            key = "edge.stats" if line == "frontend _stats" else "edge"
        # A comment on the line may name the key of its port.
        if listening := re.match(r"\s+bind (\S+):(\d+)(?:.* # (\S+))?$", line):
            found[listening[1], listening[2]] = (f"{key}.bind", listening[3] or f"{key}.port")
    return found


def _sockets(pids: Iterable[int]) -> Iterator[str]:
    """Yield the inodes of the sockets of processes, where this one may look into them."""
    for pid in pids:
        with suppress(OSError):
            for each in Path(f"/proc/{pid}/fd").iterdir():
                if found := re.fullmatch(r"socket:\[(\d+)\]", str(each.readlink())):
                    yield found[1]


def _holders(host: str, port: str) -> Iterator[str]:
    """Yield the inodes of the sockets that listen on an address."""
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
                words = line.split()
                where, _, on = words[1].partition(":")
                if words[3] == _LISTENS and int(on, 16) == int(port):
                    listens_at = _address(where)
                    if listens_at == host or _ALL & {listens_at, host}:
                        yield words[9]


def _address(shown: str) -> str:
    """Return an address of /proc/net/tcp, whose words are in the machine's order."""
    words = [int(shown[at : at + 8], 16) for at in range(0, len(shown), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    return socket.inet_ntop(socket.AF_INET if len(words) == 1 else socket.AF_INET6, packed)
