"""The firewall of a VM, run there as root: ``python3 - allow|forbid NAME …``.

    allow NAME GRANT CONNECTION   let in what a grant says, a JSON document, under a name
    forbid NAME                   no longer, unless another grant lets it in too

What no grant lets in does not get past the first hook, ahead of Docker's translation of published
ports, which go past the chains that filter what is for the machine itself. In force are all grants
together: when one takes the place of another, the new one is there before the old one goes, and no
request is lost between them.

A grant that would shut out who brings it is refused: ``CONNECTION`` is what sshd has in
``SSH_CONNECTION``, which begins with the address that it comes from.

Sent to the VM as text, so it imports nothing but the standard library.
"""

import fcntl
import ipaddress
import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

FOLDER = Path("/etc/gatehouse")
_UNIT_FILE = Path("/etc/systemd/system/gatehouse-firewall.service")
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
ExecStart=/usr/sbin/nft -f {FOLDER}/firewall.nft

[Install]
WantedBy=sysinit.target
"""

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
}}
"""


class FirewallError(Exception):
    """Nothing was changed; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Grant:
    """Who may come in, beside answers to what the VM itself has asked."""

    ssh: tuple[str, ...] = ()
    """Networks from which SSH is answered."""
    edges: tuple[str, ...] = ()
    """Addresses that may use ``edge_ports``."""
    edge_ports: str = ""
    """One port, or the first and the last with a hyphen between them."""
    public: tuple[int, ...] = ()
    """TCP ports for everybody."""

    def to_json(self) -> str:
        """Return it as one line."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Grant":
        """Read what ``to_json`` made."""
        told = json.loads(text)
        return cls(
            ssh=tuple(told["ssh"]),
            edges=tuple(told["edges"]),
            edge_ports=told["edge_ports"],
            public=tuple(told["public"]),
        )


def ruleset(grants: Iterable[Grant]) -> str:
    """Return the text for ``nft`` that has all grants in force and nothing else of ours."""
    lines: list[str] = []
    for grant in grants:
        if grant.ssh:
            lines.append(f"ip saddr {_networks(grant.ssh)} tcp dport 22 accept")
        if grant.edges:
            sources = _networks(grant.edges)
            lines.append(f"ip saddr {sources} tcp dport {grant.edge_ports} accept")
        if grant.public:
            lines.append(f"tcp dport {{ {', '.join(map(str, grant.public))} }} accept")
    return _RULES.format(accepted="\n".join(f"        {each}" for each in dict.fromkeys(lines)))


def _networks(given: Iterable[str]) -> str:
    """Return a set of them; nft takes none in which two overlap."""
    networks = ipaddress.collapse_addresses(ipaddress.IPv4Network(each) for each in given)
    return f"{{ {', '.join(map(str, networks))} }}"


def shuts_out(grant: Grant, address: str) -> bool:
    """Whether SSH from an address would not be answered by what a grant says."""
    client = ipaddress.ip_address(address)
    return not any(client in ipaddress.ip_network(network) for network in grant.ssh)


def change(name: str, grant: Grant | None, connection: str = "") -> None:
    """Put a grant into force, or take it out of force if it is None.

    Raises:
        FirewallError: It cannot be.
    """
    folder = FOLDER / "firewall"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        grants = {each.stem: Grant.from_json(each.read_text()) for each in folder.glob("*.json")}
        file = folder / f"{name}.json"
        if grant is None:
            grants.pop(name, None)
        else:
            grants[name] = grant
            client = connection.split(" ")[0]
            if client and shuts_out(grant, client):
                raise FirewallError(
                    f"farm.ssh_from: would shut out this machine, which the VM sees as {client};"
                    f" add that (got {', '.join(grant.ssh)})"
                )
        text = ruleset(grants[each] for each in sorted(grants))
        _nft(text, "--check")
        if grant is None:
            file.unlink(missing_ok=True)
        else:
            _write(file, grant.to_json())
        _write(FOLDER / "firewall.nft", text)
        _nft(text)
        if not _UNIT_FILE.exists() or _UNIT_FILE.read_text() != _UNIT:
            _write(_UNIT_FILE, _UNIT)
            subprocess.run(("systemctl", "enable", "--now", _UNIT_FILE.name), check=True)


def _write(file: Path, text: str) -> None:
    partial = file.with_name(f"{file.name}.partial")
    partial.write_text(text)
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
            "farm.install_docker: the image has no nft; with false it has to bring nftables too"
        ) from None
    if told.returncode != 0:
        raise FirewallError(f"nft refuses the firewall's rules:\n{told.stdout}")


def main(arguments: list[str]) -> int:
    """Run one of the commands; code 1 and the reason on stderr if it fails."""
    what, name, *rest = arguments
    try:
        if what == "allow":
            change(name, Grant.from_json(rest[0]), *rest[1:])
        else:
            change(name, None)
    except (FirewallError, subprocess.CalledProcessError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
