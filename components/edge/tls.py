"""How HAProxy does TLS, and what the keeper on its host is told of certificates."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from components.models.edge import Tls

_HTTPS = 443


@dataclass(frozen=True)
class Profile:
    """Which ways to encrypt clients may choose from."""

    ciphers: str
    """Of TLS 1.2."""
    ciphersuites: str
    """Of TLS 1.3."""


INTERMEDIATE = Profile(
    ciphers="ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"
    ":ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
    ":ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305",
    ciphersuites="TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256",
)
"""Mozilla's intermediate profile, version 6.0 of 2026."""


@dataclass(frozen=True)
class Redirect:
    """From HTTP to HTTPS."""

    location: str
    conditions: tuple[str, ...]
    """The rest of a rule each, in order."""


def redirect(tls: Tls) -> Redirect:
    """Return where plain requests are sent: to the same address, but for the port and scheme."""
    port = "" if tls.port == _HTTPS else f":{tls.port}"
    but = "" if tls.acme is None else " !challenge"
    return Redirect(
        location=f"https://%[req.hdr(host),regsub(:[0-9]+$,)]{port}%[pathq]",
        conditions=(
            f"code 301 if {{ method GET HEAD }}{but}",
            # Clients may make a GET of anything else that is redirected with 301.
            f"code 308{but and f' if{but}'}",
        ),
    )


def spec(tls: Tls, domains: Iterable[str]) -> dict[str, Any]:
    """Return what the keeper reads as ``Spec``."""
    return {
        "domains": list(domains),
        **tls.model_dump(include={"folder", "certificates", "self_signed", "acme"}, mode="json"),
    }
