"""The firewall of a VM, run there as root: ``firewall.py allow|forbid NAME …``.

    allow NAME GRANT CONNECTION   let in what a grant says, a JSON document, under a name
    forbid NAME --printed TEXT    no longer, unless another grant lets it in too

Anything else changes nothing. ``allow`` prints a mark. ``forbid`` leaves a grant whose mark is not
in the text: it was allowed again since, as when Pulumi replaces the command that did it. The last
grant for SSH stays for SSH, or nobody could enter the VM any more.

The first hook drops whatever no grant allows. It comes before Docker's translation of published
ports, because those packets bypass the chains that filter traffic to the machine itself. All
grants apply together: a new grant is added before the one that it replaces is removed, and no
request is lost between the two.

A grant that would shut out its sender is refused. ``CONNECTION`` is sshd's ``SSH_CONNECTION``, and
begins with the sender's address.

Sent to the VM as text, so it imports only the standard library.
"""

import argparse
import contextlib
import fcntl
import ipaddress
import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

FOLDER = Path("/etc/gatehouse")
_UNIT_FILE = Path("/etc/systemd/system/gatehouse-firewall.service")
_CONNTRACK = Path("/proc/sys/net/netfilter/nf_conntrack_max")
CONNECTIONS = 262_144
"""How many connections the kernel tracks at most, each for 2 minutes after its end. By
default a VM of 1 GiB has room for 7,680, which 64 connections per second fill."""

# Not open if the rules do not load, for instance because a power failure has truncated the file: an
# empty one is no error to nft. Then only SSH is open, by rules that need little of the kernel.
_UNIT = f"""\
[Unit]
Description=Gatehouse firewall: who may come in
DefaultDependencies=no
Before=network-pre.target shutdown.target
Wants=network-pre.target
After=local-fs.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c '{{load}}'
ExecStart=-/sbin/sysctl --quiet --write net.netfilter.nf_conntrack_max={CONNECTIONS}

[Install]
WantedBy=sysinit.target
"""


def unit() -> str:
    """Return the text of the unit that loads the rules at boot."""
    rules, fallback = FOLDER / "firewall.nft", FOLDER / "firewall-ssh.nft"
    load = (
        f"nft -f {rules} && nft list chain inet gatehouse from_outside >/dev/null && exit 0;"
        f" echo {rules} does not load, so only SSH is answered >&2; nft -f {fallback}; exit 1"
    )
    return _UNIT.format(load=load)


_RULES = """\
# Written by Gatehouse from the grants beside it; changes by hand are lost.
table inet gatehouse
delete table inet gatehouse
table inet gatehouse {{
    chain from_outside {{
        # After connections are known, before Docker's nat.
        type filter hook prerouting priority -160; policy accept;
        iifname "lo" accept
        iifname "docker0" accept
        iifname "br-*" accept
        ct state established,related accept
        udp sport 67 udp dport 68 accept
        udp sport 547 udp dport 546 accept
        icmpv6 type {{ nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert }} accept
        icmp type echo-request limit rate 10/second accept
{accepted}
        drop
    }}
    chain from_containers {{
        type filter hook input priority 0; policy accept;
        ct state established,related accept
        iifname "docker0" drop
        iifname "br-*" drop
    }}
{unwatched}}}
"""

# The kernel does not track these connections, so that none is refused when there are too many. ICMP
# errors about them are then not "related", and need rules.
_UNWATCHED = """\
    chain unwatched_in {{
        type filter hook prerouting priority -300; policy accept;
        tcp dport {{ {ports} }} notrack
    }}
    chain unwatched_out {{
        type filter hook output priority -300; policy accept;
        tcp sport {{ {ports} }} notrack
    }}
"""
_SAID_ON_THE_WAY = (
    "icmp type { destination-unreachable, time-exceeded, parameter-problem } accept",
    "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }"
    " accept",
)

_FALLBACK = """\
# Written by Gatehouse, for when the rules beside it do not load.
table inet gatehouse
delete table inet gatehouse
table inet gatehouse {{
    chain from_outside {{
        type filter hook prerouting priority -160; policy drop;
        iifname "lo" accept
        iifname "docker0" accept
        iifname "br-*" accept
        udp sport 67 udp dport 68 accept
{accepted}
    }}
}}
"""


class FirewallError(Exception):
    """Nothing was changed; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Grant:
    """The traffic that may come in, besides answers to the VM's own requests."""

    ssh: tuple[str, ...] = ()
    """Networks from which SSH is answered."""
    edges: tuple[str, ...] = ()
    """Addresses that may use ``edge_ports``."""
    edge_ports: str = ""
    """One port, or the first and the last with a hyphen between them."""
    public: tuple[int, ...] = ()
    """TCP ports for everybody."""
    mark: str = ""
    """Of the ``allow`` that has put it into force last."""

    def to_json(self) -> str:
        """Return it as one line."""
        known = asdict(self)
        if not self.mark:
            del known["mark"]
        return json.dumps(known, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Grant":
        """Read what ``to_json`` made."""
        told = json.loads(text)
        return cls(
            ssh=tuple(told["ssh"]),
            edges=tuple(told["edges"]),
            edge_ports=told["edge_ports"],
            public=tuple(told["public"]),
            mark=str(told.get("mark", "")),
        )


def ruleset(grants: Iterable[Grant]) -> str:
    """Return the rules for ``nft`` that replace all of ours by those of the grants."""
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
    unwatched = _UNWATCHED.format(ports=ports) if public else ""
    return _RULES.format(accepted=_indented(lines), unwatched=unwatched)


def fallback(grants: Iterable[Grant]) -> str:
    """Return the rules for ``nft`` that allow only SSH, from the grants' networks."""
    return _FALLBACK.format(accepted=_indented(line for grant in grants for line in _ssh(grant)))


def _ssh(grant: Grant) -> list[str]:
    return [f"ip saddr {_networks(grant.ssh)} tcp dport 22 accept"] if grant.ssh else []


def _indented(lines: Iterable[str]) -> str:
    return "\n".join(f"        {each}" for each in dict.fromkeys(lines))


def _networks(given: Iterable[str]) -> str:
    """Return networks as a set of nft's, without overlaps, which nft refuses."""
    networks = ipaddress.collapse_addresses(ipaddress.IPv4Network(each) for each in given)
    return f"{{ {', '.join(map(str, networks))} }}"


def shuts_out(grant: Grant, address: str) -> bool:
    """Whether a grant does not allow SSH from an address."""
    client = ipaddress.ip_address(address)
    return not any(client in ipaddress.ip_network(network) for network in grant.ssh)


def change(name: str, grant: Grant | None, connection: str = "", printed: str | None = None) -> str:
    """Put a grant into force, or take it out of force if it is None.

    Args:
        name: Its name.
        grant: What to let in.
        connection: The ``SSH_CONNECTION`` of who brings it.
        printed: What the ``allow`` printed that is to be undone; None if any is.

    Returns:
        What there is to say of it: the mark of a grant.

    Raises:
        FirewallError: nft is missing or refuses the rules.
    """
    folder = FOLDER / "firewall"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # One that is given again need not be readable.
        others = {each.stem: each for each in folder.glob("*.json") if each.stem != name}
        grants = {each: _read(file) for each, file in others.items()}
        file = folder / f"{name}.json"
        said = ""
        if grant is None:
            last = _read(file) if file.exists() else None
            if last is not None and printed is not None and last.mark not in printed:
                return f"{name} was allowed again since, so it stays"
            if last is not None and last.ssh and not any(each.ssh for each in grants.values()):
                grant = Grant(ssh=last.ssh, mark=last.mark)
        else:
            _check_lets_in(grant, connection)
            said = secrets.token_hex(8)
            grant = replace(grant, mark=said)
        if grant is not None:
            grants[name] = grant
        _put_into_force([grants[each] for each in sorted(grants)], file, grant)
    return said


def _check_lets_in(grant: Grant, connection: str) -> None:
    client = connection.split(" ")[0]
    if client and shuts_out(grant, client):
        raise FirewallError(
            f"farm.ssh_from: would shut out this machine, which the VM sees as {client};"
            f" add that (got {', '.join(grant.ssh)})"
        )


def _put_into_force(grants: list[Grant], file: Path, changed: Grant | None) -> None:
    """Have all grants in force, after one of them was written to its file, or deleted."""
    text = ruleset(grants)
    _nft(text, "--check")
    if changed is None:
        file.unlink(missing_ok=True)
    else:
        _write(file, changed.to_json())
    _write(FOLDER / "firewall-ssh.nft", fallback(grants))
    _write(FOLDER / "firewall.nft", text)
    _nft(text)
    _keep_in_mind()
    if not _UNIT_FILE.exists() or _UNIT_FILE.read_text() != unit():
        _write(_UNIT_FILE, unit())
        subprocess.run(("systemctl", "enable", "--now", _UNIT_FILE.name), check=True)


def _read(file: Path) -> Grant:
    """Return a grant that was put into force before.

    Raises:
        FirewallError: The file is damaged.
    """
    try:
        return Grant.from_json(file.read_text())
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise FirewallError(
            f"{file}: is no grant, so nothing was changed; delete it, and run"
            f" `pulumi up --replace '**::{file.stem}'` to have it written again (got {error!r})"
        ) from None


def _keep_in_mind() -> None:
    with contextlib.suppress(OSError, ValueError):  # of a kernel that has no such table
        if int(_CONNTRACK.read_text()) < CONNECTIONS:
            _CONNTRACK.write_text(str(CONNECTIONS))


def _write(file: Path, text: str) -> None:
    partial = file.with_name(f"{file.name}.partial")
    with partial.open("w") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    partial.replace(file)


def _nft(text: str, *options: str) -> None:
    try:
        told = subprocess.run(
            ("nft", *options, "--file", "-"),
            input=text,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    except FileNotFoundError:
        raise FirewallError(
            "farm.install_docker: the image has no nft; with false it must have nftables too"
        ) from None
    if told.returncode != 0:
        raise FirewallError(f"nft refuses the firewall's rules:\n{told.stdout}")


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text):
        raise argparse.ArgumentTypeError(f"is not a name of a grant (got {text})")
    return text


def _grant(text: str) -> Grant:
    try:
        return Grant.from_json(text)
    except (ValueError, TypeError, KeyError) as error:
        raise argparse.ArgumentTypeError(f"is not a grant: {error!r} (got {text})") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("firewall.py", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(dest="what", required=True, metavar="allow|forbid")
    allow = commands.add_parser("allow", allow_abbrev=False)
    forbid = commands.add_parser("forbid", allow_abbrev=False)
    for each in (allow, forbid):
        each.add_argument("name", type=_name, metavar="NAME")
    allow.add_argument("grant", type=_grant, metavar="GRANT")
    allow.add_argument("connection", nargs="?", default="", metavar="CONNECTION")
    forbid.add_argument("--printed", metavar="TEXT")
    return parser


def main(arguments: list[str]) -> int:
    """Run one of the commands; code 1 and the reason on stderr if it fails."""
    told = _parser().parse_args(arguments)
    try:
        if told.what == "allow":
            said = change(told.name, told.grant, told.connection)
        else:
            said = change(told.name, None, printed=told.printed)
    except (FirewallError, subprocess.CalledProcessError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    if said:
        print(said)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
