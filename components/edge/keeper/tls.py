"""The certificates of an edge as files for HAProxy, and newer ones taken up while it runs."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from components.edge.keeper import parts
from components.edge.keeper.certificates import (
    Acme,
    Certificate,
    Choice,
    Files,
    Spec,
    UnusableError,
    choose,
    read,
)
from components.edge.keeper.instance import Instance
from components.edge.keeper.selfsigned import self_signed
from components.edge.keeper.system import EdgeError, haproxy, run

FACT = "tls"
"""By this name a text tells what the config says of certificates."""
LIST = "certs.list"
"""The list of certificates for HAProxy, below ``files`` in the edge's folder."""
_LONGEST_NAME = 200  # of a file; most systems take 255, and more is added


@dataclass(frozen=True)
class Assembled:
    """The certificates of all domains."""

    certificates: Mapping[str, Certificate]
    """By domain, in the order of the config."""
    stand_ins: frozenset[str]
    """The domains whose certificate is signed by the edge itself."""


def spec_in(files: Mapping[str, str]) -> Spec | None:
    """Return what an edge's files say of certificates, or None if it has no TLS."""
    text = files.get(f"{FACT}.json")
    return None if text is None else Spec.from_json(json.loads(text))


def assemble(instance: Instance, spec: Spec, choice: Choice, now: float) -> Assembled:
    """Return the certificates that were chosen, and the edge's own for the other domains."""
    certificates: dict[str, Certificate] = {}
    stand_ins = set()
    for domain in spec.domains:
        options: list[Certificate | None] = [choice.found.get(domain)]
        options += [issued(instance, spec.acme, domain, now)] if spec.acme else []
        good = [each for each in options if each is not None]
        if good:
            certificates[domain] = max(good, key=lambda each: each.ends)
        elif domain in choice.own:
            folder = instance.folder / "self-signed" / file_name(domain)
            certificates[domain] = self_signed(folder, domain, now)
            stand_ins.add(domain)
    return Assembled(certificates, frozenset(stand_ins))


def issued(instance: Instance, acme: Acme, domain: str, now: float) -> Certificate | None:
    """Return the valid certificate that was obtained by ACME for a domain, if there is one."""
    try:
        certificate = read(Files.below(acme.folder(instance.folder) / "config" / "live" / domain))
    except UnusableError:
        return None
    valid = certificate.covers(domain) and certificate.problem(now) is None
    return certificate if valid else None


def with_certificates(instance: Instance, files: Mapping[str, str]) -> dict[str, str]:
    """Return an edge's files with its certificates.

    Raises:
        EdgeError: A domain has none; all that is wrong is told.
    """
    spec = spec_in(files)
    if spec is None:
        return dict(files)
    now = time.time()
    choice = choose(spec, now)
    if choice.problems:
        raise EdgeError("\n".join(choice.problems))
    certificates = assemble(instance, spec, choice, now).certificates
    pems = {pem_name(domain): certificate.pem for domain, certificate in certificates.items()}
    # The first of the list is what a client without or with an unknown name gets.
    lines = [f"{instance.files / pem_name(domain)} {domain}\n" for domain in certificates]
    return {**files, **pems, LIST: "".join(lines)}


def file_name(domain: str) -> str:
    """Return a name for files of a domain."""
    name = domain.replace("*", "_")
    if len(name) > _LONGEST_NAME:
        return hashlib.sha256(name.encode()).hexdigest()
    return name


def pem_name(domain: str) -> str:
    """Return the path below ``files`` of a domain's certificate."""
    return f"certs/{file_name(domain)}.pem"


def in_force(instance: Instance, domain: str) -> Certificate | None:
    """Return the certificate that HAProxy has for a domain."""
    path = instance.files / pem_name(domain)
    try:
        return read(Files(path, path))
    except UnusableError:
        return None


def take_up(instance: Instance, domain: str, certificate: Certificate) -> None:
    """Give the worker that serves a newer certificate for a domain, and keep it for the next one.

    Connections that are open stay as they are.

    Raises:
        EdgeError: HAProxy refuses it; the one before stays.
    """
    path = instance.files / pem_name(domain)
    answer = _hand_over(instance, path, certificate.pem)
    if answer is not None:
        before = path.read_text()
        parts.write_file(path, certificate.pem)
        if not _reload(instance):
            parts.write_file(path, before)
            raise EdgeError(
                f"HAProxy does not take {certificate.source} for {domain}, and goes on with the"
                f" certificate before it:\n{answer.strip()}"
            )
    parts.write_file(path, certificate.pem)


def _hand_over(instance: Instance, path: Path, pem: str) -> str | None:
    """Exchange a certificate in the worker that serves; return its answer if it does not take it.

    A command has 16 KiB (tune.bufsize), which is enough for keys and chains as they usually are.
    """
    for command in (f"@1 set ssl cert {path} <<\n{pem}\n", f"@1 commit ssl cert {path}"):
        answer = instance.ask_master(command)
        if answer is None:  # nothing runs; the file is read at the next start
            return None
        if "Transaction created" not in answer and "Success!" not in answer:
            instance.ask_master(f"@1 abort ssl cert {path}")
            return answer
    return None


def _reload(instance: Instance) -> bool:
    """Have HAProxy read its files again, if they are right, and return whether it did."""
    if run(haproxy(), "-c", "-f", str(instance.live)).returncode != 0:
        return False
    config = instance.live.read_text()
    instance.save_state(config, config)
    try:
        return instance.reload()
    finally:
        instance.forget_state()
