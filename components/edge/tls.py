"""HAProxy's TLS settings, and the edge agent's specification of certificates."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from components.config.models.edge import Tls
from remote.edge_agent.certificates import Spec
from remote.edge_agent.status import FIRST, LOOKED, PROBLEMS

_HTTPS = 443


@dataclass(frozen=True)
class Profile:
    """The ciphers that clients may choose from."""

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
    """The ends of the rules, in their order."""


def redirect(tls: Tls) -> Redirect:
    """Return the redirect of HTTP requests: to HTTPS and its port, at the same host and path."""
    port = "" if tls.port == _HTTPS else f":{tls.port}"
    return Redirect(
        location=f"https://%[req.hdr(host),regsub(:[0-9]+$,)]{port}%[pathq]",
        conditions=(
            "code 301 if { method GET HEAD }",
            # After a 301, clients may turn other methods into GET.
            "code 308",
        ),
    )


def spec(tls: Tls, domains: Iterable[str]) -> Spec:
    """Return the certificates' part of the edge agent's facts."""
    keys = {"folder", "certificates", "self_signed", "acme"}
    return Spec.from_json({"domains": list(domains), **tls.model_dump(include=keys, mode="json")})


METRICS = "certificates.metrics"
"""The file below ``files`` with the metrics of certificates, as a log-format of HAProxy."""
_LISTED = 100
"""The most domains with lines of their own, as an answer has 16 KiB; the totals cover all."""


def metrics(domains: Iterable[str], known: str) -> Iterator[str]:
    """Yield the lines of the metrics for Prometheus.

    Args:
        domains: Those that have certificates.
        known: HAProxy's map with the state of the certificates.
    """

    def value(key: str) -> str:
        return f"%[str({key}),map({known},NaN)]"

    for name, meaning, key in (
        ("first_expiry", "When the first of the served certificates ends.", FIRST),
        ("looked", "When the edge last looked at its certificates.", LOOKED),
    ):
        yield f"# HELP gatehouse_certificates_{name}_seconds {meaning}"
        yield f"# TYPE gatehouse_certificates_{name}_seconds gauge"
        yield f"gatehouse_certificates_{name}_seconds {value(key)}"
    yield "# HELP gatehouse_certificates_problems Problems in that run, such as failed renewals."
    yield "# TYPE gatehouse_certificates_problems gauge"
    yield f"gatehouse_certificates_problems {value(PROBLEMS)}"
    yield "# HELP gatehouse_certificate_expiry_seconds When the certificate of a domain ends."
    yield "# TYPE gatehouse_certificate_expiry_seconds gauge"
    for domain in itertools.islice(domains, _LISTED):
        yield f'gatehouse_certificate_expiry_seconds{{domain="{domain}"}} {value(domain)}'
