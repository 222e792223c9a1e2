"""Checks whether the SSH host key of a remote hypervisor is known.

The libvirt provider's own error is a line of Go's SSH client, without the URI and without advice.
"""

import os
import subprocess
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, urlsplit

_SECONDS = 10.0


def unknown_host(uri: str) -> str | None:
    """Return the problem of an unknown host key; None if it is known, or if none is needed.

    Args:
        uri: Libvirt's URI.
    """
    parts = urlsplit(uri)
    query = parse_qs(parts.query, keep_blank_values=True)
    ignored = "no_verify" in query or query.get("known_hosts_verify") == ["ignore"]
    if not parts.scheme.endswith("+ssh") or parts.hostname is None or ignored:
        return None
    given = query.get("knownhosts", ["~/.ssh/known_hosts"])[0]
    file = Path(os.path.expandvars(given)).expanduser()
    port = parts.port or 22
    try:
        # ~/.ssh/config may map the host to another name and port.
        name, number = _meant(parts)
        names = {(parts.hostname, port), (parts.hostname, 22), (name, number)}
        known = file.exists() and any(_is_known(*name, file) for name in names)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if known:
        return None
    way = f"-p {number} " if number != 22 else ""
    return (
        f"the host key of {parts.hostname} is not in {given}, so libvirt cannot be reached there;"
        f" run `ssh-keyscan -t ed25519 {way}{name} >> {given}`, and compare the key with the one on"
        " the machine (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`)"
    )


def _meant(parts: SplitResult) -> tuple[str, int]:
    """Return the host name and port to which OpenSSH connects for a URI."""
    port = ("-p", str(parts.port)) if parts.port is not None else ()
    shown = _run("ssh", "-G", *port, "--", str(parts.hostname))
    found = dict(line.split(" ", 1) for line in shown.stdout.splitlines() if " " in line)
    return found.get("hostname", str(parts.hostname)), int(found.get("port", parts.port or 22))


def _is_known(name: str, port: int, file: Path) -> bool:
    host = name if port == 22 else f"[{name}]:{port}"
    return _run("ssh-keygen", "-F", host, "-f", str(file)).returncode == 0


def _run(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        words,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_SECONDS,
    )
