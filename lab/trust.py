"""TLS for the lab's clients, which trust exactly the certificates that the edge has."""

from __future__ import annotations

import ssl
from pathlib import Path


def context(trusted: Path, *protocols: str) -> ssl.SSLContext:
    """Return how a client verifies a server, its name included.

    Args:
        trusted: A PEM file, or a folder with any below it. Each certificate in them is trusted as
            it is, whatever its issuer; keys beside them are ignored.
        protocols: The protocols to offer by ALPN; none by default.

    Raises:
        FileNotFoundError: The file or folder has no certificate.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    files = sorted(trusted.rglob("*.pem")) if trusted.is_dir() else [trusted]
    if not files:
        raise FileNotFoundError(f"{trusted}: has no certificate (*.pem)")
    for file in files:
        made.load_verify_locations(file)
    if protocols:
        made.set_alpn_protocols(list(protocols))
    return made
