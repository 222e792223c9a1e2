"""The certificates that HAProxy gets: found in PEM files, checked, and chosen for each domain.

This module changes nothing, so the preview and the edge's host report the same errors. It reads
certificates with ``openssl``, because Python's standard library cannot.
"""

import base64
import hashlib
import os
import re
import shutil
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remote.edge_agent.system import EdgeError, run

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
FULLCHAIN = "fullchain.pem"
PRIVKEY = "privkey.pem"


@dataclass(frozen=True)
class Files:
    """A certificate with its chain, and its key."""

    fullchain: Path
    privkey: Path

    @classmethod
    def below(cls, folder: Path) -> "Files":
        """Return the two files as Let's Encrypt's clients name them."""
        return cls(folder / FULLCHAIN, folder / PRIVKEY)


@dataclass(frozen=True)
class AcmeServer:
    """The ACME server."""

    email: str
    directory: str
    ca: str | None
    """A file with the CA certificates for the server's own TLS; None for the system's."""

    def folder(self, edge: Path) -> Path:
        """Return certbot's folder for this server, below an edge's folder."""
        return edge / "acme" / re.sub(r"[^A-Za-z0-9.-]+", "_", self.directory)


@dataclass(frozen=True)
class Spec:
    """The config of the certificates."""

    domains: tuple[str, ...]
    """All served domains; a wildcard is ``*.example.org``. The first one's certificate is the
    default."""
    folder: Path | None
    certificates: tuple[Files, ...]
    self_signed: bool
    acme: AcmeServer | None

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> "Spec":
        """Read the text that ``components.edge.tls.spec`` wrote.

        Raises:
            ValueError, KeyError, TypeError or AttributeError: It has another form.
        """
        made = cls(
            domains=_texts(given["domains"]),
            folder=Path(given["folder"]) if given["folder"] else None,
            certificates=tuple(
                Files(*map(Path, _texts([each["fullchain"], each["privkey"]])))
                for each in given["certificates"]
            ),
            self_signed=given["self_signed"],
            acme=AcmeServer(**given["acme"]) if given["acme"] else None,
        )
        if not isinstance(made.self_signed, bool):
            raise TypeError(f"self_signed is {made.self_signed!r}")
        if made.acme is not None:
            _texts([made.acme.email, made.acme.directory, made.acme.ca or ""])
        return made


def _texts(given: object) -> tuple[str, ...]:
    if not isinstance(given, list | tuple) or not all(isinstance(each, str) for each in given):
        raise TypeError(f"{given!r} is not a list of texts")
    return tuple(given)


@dataclass(frozen=True)
class Certificate:
    """A certificate that fits its key."""

    source: Path
    names: tuple[str, ...]
    begins: float
    """Seconds since 1970, as is ``ends``."""
    ends: float
    pem: str
    """The certificate, its chain and its key, as HAProxy reads them."""

    @property
    def key(self) -> str:
        """The private key."""
        return self.pem[self.pem.rindex("-----BEGIN") :]

    def covers(self, domain: str) -> bool:
        """Return whether clients of a domain accept it, or those of all names of a wildcard."""
        above = f"*.{domain.partition('.')[2]}"
        return domain in self.names or (not domain.startswith("*.") and above in self.names)

    def problem(self, now: float) -> str | None:
        """Return why it is not valid at a time, or None if it is."""
        if now >= self.ends:
            return f"expired on {day(self.ends)}"
        return f"is not valid before {day(self.begins)}" if now < self.begins else None

    def left(self, now: float) -> float:
        """Return how much of its life is left, from 0 to 1."""
        return max(0.0, (self.ends - now) / (self.ends - self.begins))


class UnusableError(Exception):
    """A pair of files cannot be used."""

    def __init__(self, part: str, path: Path, why: str, names: tuple[str, ...] = ()) -> None:
        super().__init__(why)
        self.part = part
        """``fullchain`` or ``privkey``."""
        self.path = path
        self.why = why
        self.names = names
        """The domains of the unusable certificate, as far as they are known."""


@dataclass(frozen=True)
class Choice:
    """The certificates for the domains of a config."""

    found: Mapping[str, Certificate]
    """By domain."""
    own: tuple[str, ...]
    """The domains for which the edge obtains or signs certificates itself."""
    problems: tuple[str, ...]
    """``path: what is wrong (got value)``; not empty if a domain is in neither of the two."""


def fingerprint(pem: str) -> str:
    """Return the SHA-1 of the first certificate in a PEM text, as HAProxy and openssl print it."""
    block = next(found[0] for found in _BLOCK.finditer(pem) if found[1].endswith("CERTIFICATE"))
    der = base64.b64decode("".join(block.splitlines()[1:-1]))
    # A "trusted certificate" has more data at its end. The length follows the first byte.
    size = der[1] & 0x7F
    end = 2 + size if der[1] < 0x80 else 2 + size + int.from_bytes(der[2 : 2 + size], "big")
    return hashlib.sha1(der[:end], usedforsecurity=False).hexdigest().upper()


def day(seconds: float) -> str:
    """Return a time's date in UTC."""
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def read(files: Files) -> Certificate:
    """Return the certificate that is in two files.

    Raises:
        UnusableError: They are missing, unreadable or not a pair.
    """
    chain = _blocks("fullchain", files.fullchain, "CERTIFICATE")
    told = _openssl("x509", "-noout", "-dates", "-ext", "subjectAltName", "-pubkey", text=chain[0])
    if told is None:
        raise UnusableError(
            "fullchain", files.fullchain, "is not a certificate that openssl can read"
        )
    begins, ends = _dates(files.fullchain, chain[0], told)
    names = tuple(re.findall(r"DNS:([^,\s]+)", told.lower().replace("dns:", "DNS:")))
    key = _blocks("privkey", files.privkey, "PRIVATE KEY", names)[0]
    public = _openssl("pkey", "-pubout", "-passin", "pass:", text=key)
    if public is None or "ENCRYPTED" in key:  # openssl takes an empty passphrase, HAProxy does not
        why = "is not a private key that can be read without a passphrase"
        raise UnusableError("privkey", files.privkey, why, names)
    if public.strip() not in told:
        why = f"is not the key of {files.fullchain}"
        raise UnusableError("privkey", files.privkey, why, names)
    pem = "".join(f"{block}\n" for block in (*chain, key))
    return Certificate(files.fullchain, names, begins, ends, pem)


def _dates(path: Path, block: str, told: str) -> tuple[float, float]:
    """Return when a certificate begins and ends, in seconds since 1970.

    openssl reads certificates with odd dates and encodings too, and prints "Bad time value".

    Raises:
        UnusableError: The edge cannot use it.
    """
    dates = dict(re.findall(r"^(notBefore|notAfter)=(.+)$", told, re.MULTILINE))
    try:
        begins, ends = (ssl.cert_time_to_seconds(dates[key]) for key in ("notBefore", "notAfter"))
        fingerprint(block)
    except (KeyError, ValueError, IndexError) as error:
        why = f"is a certificate that openssl reads only in part: {error}"
        raise UnusableError("fullchain", path, why) from error
    if ends <= begins:
        why = f"is never valid: it ends on {day(ends)} and begins on {day(begins)}"
        raise UnusableError("fullchain", path, why)
    return begins, ends


def _blocks(part: str, path: Path, kind: str, names: tuple[str, ...] = ()) -> list[str]:
    try:
        if path.exists() and not path.is_file():  # reading a pipe or a device may never end
            raise UnusableError(part, path, "is not a file", names)
        text = path.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        raise UnusableError(part, path, "does not exist", names) from None
    except OSError as error:
        raise UnusableError(part, path, f"cannot be read: {error.strerror}", names) from None
    found = [match[0] for match in _BLOCK.finditer(text) if match[1].endswith(kind)]
    if not found:
        raise UnusableError(part, path, f"has no {kind} in it", names)
    return found


def _openssl(*arguments: str, text: str) -> str | None:
    if shutil.which("openssl") is None:
        raise EdgeError(
            f"openssl is not installed on {socket.gethostname()}; run `apt-get install openssl`"
        )
    result = run("openssl", *arguments, text=text)
    return result.stdout if result.returncode == 0 else None


def choose(spec: Spec, now: float) -> Choice:
    """Return for each domain the certificate that covers it and is valid longest.

    Each of ``certificates`` has to be valid. ``folder`` may also contain unneeded and invalid ones,
    as folders do after years of renewals.
    """
    problems: list[str] = []
    if spec.acme is not None and spec.acme.ca is not None and not os.access(spec.acme.ca, os.R_OK):
        problems.append(
            "edge.tls.acme.ca: cannot be read; give the PEM file of the authority behind"
            f" {spec.acme.directory} (got {spec.acme.ca})"
        )
    certificates = list(_listed(spec, now, problems))
    broken: list[UnusableError] = []
    if spec.folder is not None:
        certificates += _in_folder(spec.folder, problems, broken)
    found: dict[str, Certificate] = {}
    own: list[str] = []
    told = bool(problems)
    for domain in spec.domains:
        covering = [each for each in certificates if each.covers(domain)]
        valid = [each for each in covering if each.problem(now) is None]
        spoilt = [each for each in broken if _covers(each.names, domain)]
        if valid:
            found[domain] = max(valid, key=lambda each: each.ends)
        elif spoilt:
            problems.append(
                f"edge.tls.folder: {spoilt[0].path} {spoilt[0].why}, and no other certificate is"
                f" for {domain}; put the right pair there (got {spec.folder})"
            )
        elif spec.self_signed or (spec.acme is not None and not domain.startswith("*.")):
            own.append(domain)
        elif not told:
            problems.append(_missing(spec, domain, covering, broken, now))
    return Choice(found, tuple(own), tuple(dict.fromkeys(problems)))


def _covers(names: tuple[str, ...], domain: str) -> bool:
    return Certificate(Path(), names, 0, 0, "").covers(domain)


def _listed(spec: Spec, now: float, problems: list[str]) -> Iterator[Certificate]:
    for index, files in enumerate(spec.certificates):
        path = f"edge.tls.certificates.{index}"
        try:
            certificate = read(files)
        except UnusableError as error:
            problems.append(
                f"{path}.{error.part}: {error.why}; give a certificate with its chain, and its key"
                f" (got {error.path})"
            )
            continue
        wrong = certificate.problem(now)
        if wrong is not None:
            problems.append(
                f"{path}.fullchain: {wrong}; renew it, or look at the host's clock"
                f" (got {files.fullchain})"
            )
        elif not any(certificate.covers(domain) for domain in spec.domains):
            problems.append(
                f"{path}.fullchain: is for {_names(certificate.names)}, and for no service's"
                f" domain; give the right one, or remove it (got {files.fullchain})"
            )
        else:
            yield certificate


def _in_folder(
    folder: Path, problems: list[str], broken: list[UnusableError]
) -> Iterator[Certificate]:
    try:
        inside = sorted(each for each in folder.iterdir() if each.is_dir())
    except OSError as error:
        why = "does not exist" if isinstance(error, FileNotFoundError) else error.strerror
        problems.append(
            f"edge.tls.folder: {why}; give a folder whose subfolders have {FULLCHAIN} and"
            f" {PRIVKEY} (got {folder})"
        )
        return
    for each in inside:
        files = Files.below(each)
        if files.fullchain.is_symlink() or files.fullchain.exists() or files.privkey.exists():
            try:
                yield read(files)
            except UnusableError as error:
                broken.append(error)


def _missing(
    spec: Spec, domain: str, expired: list[Certificate], broken: list[UnusableError], now: float
) -> str:
    reasons = [f"{each.source} {each.problem(now)}" for each in expired]
    reasons += [f"{each.path} {each.why}" for each in broken if not each.names]
    because = f": {', '.join(reasons)}" if reasons else ""
    if spec.acme is not None:
        advice = (
            "ACME over HTTP cannot prove a wildcard, so get a certificate for it otherwise, or set"
        )
    else:
        advice = "get one there, or set edge.tls.acme or"
    where = "certificates" if spec.folder is None else "folder"
    got = spec.folder or ", ".join(str(each.fullchain) for each in spec.certificates) or "nothing"
    return (
        f"edge.tls.{where}: has no valid certificate for {domain}{because}; {advice}"
        f" edge.tls.self_signed: true (got {got})"
    )


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "no name"
