"""The addresses that a haproxy.cfg listens on, and the processes that hold them."""

import re
import socket


def in_use(text: str, previous: str) -> list[str]:
    """Return the addresses of a new configuration that another process holds."""
    taken = []
    before = listening(previous)
    for (host, port), keys in sorted(listening(text).items()):
        if (host, port) in before:
            continue
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, int(port)))
            except OSError as error:
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
