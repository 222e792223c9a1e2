"""Clients of the edge's HTTPS on loopback: curl, openssl, and what they are offered."""

import subprocess

from tests.support.edge_driver import PORT, TLS_PORT
from tests.support.edge_load import APP, SOCKETS


def curl(*arguments: str) -> str:
    """Return what curl prints, of the edge under the names of the services."""
    places = [
        word
        for port in (PORT, TLS_PORT)
        for name in (APP, SOCKETS)
        for word in ("--resolve", f"{name}:{port}:127.0.0.1")
    ]
    command = ["curl", "--silent", "--show-error", "--insecure", *places, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def s_client(*arguments: str) -> str:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{TLS_PORT}", *arguments]
    done = subprocess.run(command, check=False, input="", capture_output=True, text=True)
    return done.stdout + done.stderr


def serial(name: str | None = APP) -> str:
    """Return the serial number of the certificate that a client gets."""
    sni = ("-servername", name) if name else ("-noservername",)
    shown = s_client(*sni)
    made = subprocess.run(
        ["openssl", "x509", "-noout", "-serial"], input=shown, capture_output=True, text=True
    )
    assert made.returncode == 0, shown
    return made.stdout


def offered() -> dict[str, bool]:
    """Return which of some ways to connect are accepted."""
    ways = {
        "tls1_1": ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
        "tls1_2": ("-tls1_2",),
        "tls1_3": ("-tls1_3",),
        "without forward secrecy": ("-tls1_2", "-cipher", "AES128-SHA256"),
        "cbc": ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"),
        "gcm": ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    }
    return {
        f"{way} {name}": "Cipher is (NONE)" not in s_client(*sni, *words)
        for way, words in ways.items()
        for name, sni in (("default", ("-noservername",)), ("sni", ("-servername", SOCKETS)))
    }


INTERMEDIATE = {
    f"{way} {name}": accepted
    for way, accepted in (
        ("tls1_1", False),
        ("tls1_2", True),
        ("tls1_3", True),
        ("without forward secrecy", False),
        ("cbc", False),
        ("gcm", True),
    )
    for name in ("default", "sni")
}
