"""The rules for ``nft`` that grants make, and the unit that loads them at boot."""

import ipaddress
from collections.abc import Iterable
from pathlib import Path

from remote.texts import template_of
from remote.vm_firewall.grant import Grant

CONNECTIONS = 262_144
"""How many connections the kernel tracks at most, each for 2 minutes after its end. By
default a VM of 1 GiB has room for 7,680, which 64 connections per second fill."""


_PACKAGE = "remote.vm_firewall"
_UNIT = template_of(_PACKAGE, "gatehouse-firewall.service")
_RULES = template_of(_PACKAGE, "rules.nft")
_UNWATCHED = template_of(_PACKAGE, "unwatched.nft")
"""The kernel does not track these connections, so that none is refused when there are too many.
ICMP errors about them are then not "related", and need rules."""
_SAID_ON_THE_WAY = (
    "icmp type { destination-unreachable, time-exceeded, parameter-problem } accept",
    "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }"
    " accept",
)
_SSH_ONLY = template_of(_PACKAGE, "ssh-only.nft")
"""Used if the rules do not load, for instance because a power failure has truncated their file: nft
accepts an empty file. They need little of the kernel."""


def unit(folder: Path) -> str:
    """Return the text of the unit that loads the rules in a folder at boot."""
    rules, fallback = folder / "firewall.nft", folder / "firewall-ssh.nft"
    load = (
        f"nft -f {rules} && nft list chain inet gatehouse from_outside >/dev/null && exit 0;"
        f" echo {rules} does not load, so only SSH is answered >&2; nft -f {fallback}; exit 1"
    )
    return _UNIT.substitute(load=load, connections=CONNECTIONS)


def ruleset(grants: Iterable[Grant]) -> str:
    """Return the rules for ``nft`` that replace all earlier ones of Gatehouse."""
    lines: list[str] = []
    public: set[int] = set()
    for grant in grants:
        lines += _ssh(grant)
        if grant.edges:
            sources = _networks(grant.edges)
            lines.append(f"ip saddr {sources} tcp dport {grant.edge_ports} accept")
        if grant.public:
            lines.append(f"tcp dport {{ {', '.join(map(str, grant.public))} }} accept")
            public |= set(grant.public)
    if public:
        lines += _SAID_ON_THE_WAY
    ports = ", ".join(map(str, sorted(public)))
    unwatched = _UNWATCHED.substitute(ports=ports) if public else ""
    return _RULES.substitute(accepted=_indented(lines), unwatched=unwatched)


def fallback(grants: Iterable[Grant]) -> str:
    """Return the rules for ``nft`` that allow only SSH, from the grants' networks."""
    return _SSH_ONLY.substitute(
        accepted=_indented(line for grant in grants for line in _ssh(grant))
    )


def _ssh(grant: Grant) -> list[str]:
    return [f"ip saddr {_networks(grant.ssh)} tcp dport 22 accept"] if grant.ssh else []


def _indented(lines: Iterable[str]) -> str:
    return "\n".join(f"        {each}" for each in dict.fromkeys(lines))


def _networks(given: Iterable[str]) -> str:
    """Return networks as a set of nft's, without overlaps, which nft refuses."""
    networks = ipaddress.collapse_addresses(ipaddress.IPv4Network(each) for each in given)
    return f"{{ {', '.join(map(str, networks))} }}"
