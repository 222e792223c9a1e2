"""Certificates that the edge signs itself, for domains that have none.

They are kept until shortly before they expire, so that a client that has accepted one is not asked
again after each change.
"""

from pathlib import Path

from remote.edge_agent.bundle import write_file
from remote.edge_agent.certificates import Certificate, Files, UnusableError, read
from remote.edge_agent.system import EdgeError, run

_DAYS = 365  # the longest that Mozilla's profile allows is 366
_RENEWED_AT = 30 * 86400
"""Seconds before its expiry at which it is signed anew."""
# Instead of the system's configuration, whose extensions are those of an authority.
_CONFIG = """[req]
distinguished_name = name
x509_extensions = server
prompt = no
[name]
O = Gatehouse
CN = self-signed
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:{domain}
"""


def self_signed(folder: Path, domain: str, now: float) -> Certificate:
    """Return the certificate of a domain that is kept in a folder.

    Create it if it is missing; shortly before it expires, sign it again with the same key.

    Raises:
        EdgeError: openssl fails.
    """
    files = Files.below(folder)
    try:
        kept = read(files)
    except UnusableError:
        key = _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1")
        write_file(files.privkey, key)
        kept = None
    # It begins in the future if the clock was ahead when it was signed.
    wrong = kept is None or not kept.covers(domain) or kept.problem(now) is not None
    if kept is None or wrong or kept.ends - now < _RENEWED_AT:
        _sign(files, domain)
        kept = read(files)
    return kept


def _sign(files: Files, domain: str) -> None:
    certificate = _openssl(
        *("req", "-x509", "-new", "-sha256", "-days", str(_DAYS), "-key", str(files.privkey)),
        *("-config", "/dev/stdin"),
        text=_CONFIG.format(domain=domain),
    )
    write_file(files.fullchain, certificate)


def _openssl(*arguments: str, text: str = "") -> str:
    result = run("openssl", *arguments, text=text)
    if result.returncode != 0:
        raise EdgeError(f"openssl {arguments[0]} fails:\n{result.stdout}")
    found = result.stdout.find("-----BEGIN")
    return result.stdout[max(found, 0) :]
