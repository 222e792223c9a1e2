"""The kernel's state: nft's rules, and the table of connections."""

import contextlib
import subprocess
from pathlib import Path

from remote.vm_firewall.errors import FirewallError
from remote.vm_firewall.rules import CONNECTIONS

_CONNTRACK = Path("/proc/sys/net/netfilter/nf_conntrack_max")


def check(rules: str) -> None:
    """Check rules without loading them.

    Raises:
        FirewallError: nft is missing or refuses them.
    """
    _nft(rules, "--check")


def load(rules: str) -> None:
    """Put rules into force.

    Raises:
        FirewallError: nft is missing or refuses them.
    """
    _nft(rules)
    with contextlib.suppress(OSError, ValueError):  # the kernel has no such table
        if int(_CONNTRACK.read_text()) < CONNECTIONS:
            _CONNTRACK.write_text(str(CONNECTIONS))


def _nft(text: str, *options: str) -> None:
    try:
        told = subprocess.run(
            ("nft", *options, "--file", "-"),
            input=text,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except FileNotFoundError:
        raise FirewallError(
            "farm.install_docker: the image has no nft; with false it must have nftables too"
        ) from None
    if told.returncode != 0:
        raise FirewallError(f"nft refuses the firewall's rules:\n{told.stdout}")
