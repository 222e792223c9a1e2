"""What all fronts have in common: where they listen, and whose processor time is theirs."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from remote.edge_agent.selfsigned import self_signed
from remote.edge_agent.system import poll

HOST = "app.example.org"
PACKAGES = ("apache2-bin", "apache2-utils", "haproxy", "nginx-light", "wrk")
"""Debian's; apache2-bin is without the service."""
_SECONDS = 30.0


class BenchError(Exception):
    """Something cannot be measured; the text says what, and what it printed."""


@dataclass(frozen=True, kw_only=True)
class Front:
    """A way to the application that clients can take."""

    name: str
    port: int
    """On 127.0.0.1, with TLS."""
    tiers: Mapping[str, tuple[int, ...]]
    """Its processes by what they are; all below them count too."""


@dataclass(frozen=True, kw_only=True)
class FrontCertificate:
    """A self-signed certificate with a key of P-256, and the folder that it is in."""

    fullchain: Path
    privkey: Path
    live: Path
    """As ``/etc/letsencrypt/live``."""


def certificate(folder: Path) -> FrontCertificate:
    """Return a certificate for `HOST`, made below a folder."""
    made = folder / "live" / HOST
    made.mkdir(parents=True)
    self_signed(made, HOST, 0.0)
    return FrontCertificate(
        fullchain=made / "fullchain.pem", privkey=made / "privkey.pem", live=folder / "live"
    )


@contextlib.contextmanager
def running(command: Sequence[str], port: int, folder: Path) -> Iterator[int]:
    """Run a server until the end, and yield its number once it listens.

    Args:
        command: In the foreground.
        port: On 127.0.0.1, where it is to listen.
        folder: Where what it prints goes.

    Raises:
        BenchError: It does not listen.
    """
    printed = folder / "output.log"
    with printed.open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        if not poll(lambda: process.poll() is not None or _listens(port), _SECONDS):
            raise BenchError(f"{command[0]} does not listen after {_SECONDS:.0f} s")
        if process.poll() is not None:
            raise BenchError(f"{command[0]} has ended:\n{printed.read_text(errors='replace')}")
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
