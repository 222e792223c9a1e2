"""The certificates of an edge as files for HAProxy, and the loading of newer ones while it runs."""

import functools
import hashlib
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from remote.edge_agent import bundle
from remote.edge_agent.certificates import (
    AcmeServer,
    Certificate,
    Choice,
    Files,
    Spec,
    UnusableError,
    choose,
    fingerprint,
    read,
)
from remote.edge_agent.instance import Instance
from remote.edge_agent.selfsigned import self_signed
from remote.edge_agent.swap import put, tidy
from remote.edge_agent.system import EdgeError, text_of
from remote.edge_agent.versions import CERTIFICATES, Version

LIST = "certs.list"
"""The list of certificates for HAProxy, below ``files`` in the edge's folder."""
_LONGEST_NAME = 200  # of a file's name; most systems allow 255, and a suffix follows


@dataclass(frozen=True)
class Assembled:
    """The certificates of all domains."""

    certificates: Mapping[str, Certificate]
    """By domain, in the order of the config."""
    stand_ins: frozenset[str]
    """The domains whose certificate is signed by the edge itself."""


def assemble(instance: Instance, spec: Spec, choice: Choice, now: float) -> Assembled:
    """Return the chosen certificates, and self-signed ones for the other domains."""
    certificates: dict[str, Certificate] = {}
    stand_ins = set()
    for domain in spec.domains:
        options: list[Certificate | None] = [choice.found.get(domain)]
        options += [issued(instance, spec.acme, domain, now)] if spec.acme else []
        good = [each for each in options if each is not None]
        if not good and spec.acme and domain in choice.own:
            # No worse than a self-signed one that nobody trusts, and right if the clock is wrong.
            good = _obtained(instance, spec.acme, domain)
        if good:
            certificates[domain] = max(good, key=lambda each: each.ends)
        elif domain in choice.own:
            folder = instance.folder / "self-signed" / file_name(domain)
            certificates[domain] = self_signed(folder, domain, now)
            stand_ins.add(domain)
    return Assembled(certificates, frozenset(stand_ins))


def issued(instance: Instance, acme: AcmeServer, domain: str, now: float) -> Certificate | None:
    """Return the valid certificate that was obtained by ACME for a domain, if there is one."""
    found = _obtained(instance, acme, domain)
    valid = [each for each in found if each.problem(now) is None]
    return max(valid, key=lambda each: each.ends, default=None)


def _obtained(instance: Instance, acme: AcmeServer, domain: str) -> list[Certificate]:
    """Return the certificates that were obtained by ACME for a domain, valid or not."""
    folders = sorted((acme.folder(instance.folder) / "config" / "live").glob("*/"))
    found = [_kept(Files.below(each)) for each in folders]
    return [each for each in found if each is not None and each.covers(domain)]


def _kept(files: Files) -> Certificate | None:
    try:
        times = [each.stat().st_mtime_ns for each in (files.fullchain, files.privkey)]
        return _read_once(files, *times)
    except (OSError, UnusableError):
        return None


@functools.cache
def _read_once(files: Files, *_times: int) -> Certificate:
    """Read two files again only after a change, because they are checked for every domain."""
    return read(files)


def with_certificates(
    instance: Instance, files: Mapping[str, str], spec: Spec | None
) -> dict[str, str]:
    """Return an edge's files with its certificates; without a ``spec``, there are none.

    Raises:
        EdgeError: A domain has none; the message lists all problems.
    """
    if spec is None:
        return dict(files)
    now = time.time()
    choice = choose(spec, now)
    if choice.problems:
        raise EdgeError("\n".join(choice.problems))
    certificates = assemble(instance, spec, choice, now).certificates
    pems = {pem_name(domain): certificate.pem for domain, certificate in certificates.items()}
    # Clients without a server name, or with an unknown one, get the first certificate.
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
    return f"{CERTIFICATES}{file_name(domain)}.pem"


def current(instance: Instance) -> Version:
    """Return the version that HAProxy's worker has read, or will read if none runs.

    Raises:
        NoAnswerError: It runs and does not answer in time.
    """
    worker = instance.worker()
    return instance.live_version() if worker is None else worker.version


def in_force(instance: Instance, version: Version, domain: str) -> Certificate | None:
    """Return the certificate that HAProxy has for a domain, or None if it is an unknown one.

    Raises:
        NoAnswerError: It runs and does not answer in time.
    """
    path = version.files / pem_name(domain)
    kept = _kept(Files(path, path))
    return kept if kept is not None and _serves(instance, path, kept.pem) else None


def _serves(instance: Instance, path: Path, pem: str) -> bool:
    """Whether the worker has this certificate for a file; if none runs, it is the file's."""
    told = instance.ask_master(f"@1 show ssl cert {path}")
    if told is None:
        return True
    found = re.search(r"^SHA1 FingerPrint: ([0-9A-F]+)$", told, re.MULTILINE)
    return found is not None and found[1] == fingerprint(pem)


def bring_up(instance: Instance, version: Version, wanted: bundle.Bundle) -> None:
    """Make the worker serve the certificates of a configuration whose other parts it has read.

    Raises:
        EdgeError: HAProxy refuses one.
    """
    for name, pem in wanted.files.items():
        if not name.startswith(CERTIFICATES):
            continue
        path = version.files / name
        if not path.exists() or text_of(path) != pem or not _serves(instance, path, pem):
            take_up(instance, name, pem, "the new certificate")


def take_up(instance: Instance, name: str, pem: str, what: str) -> None:
    """Give the current worker a newer certificate, and store it for the next worker.

    Open connections stay as they are.

    Args:
        instance: The edge.
        name: The file's name, below a version's files.
        pem: The certificate with its chain and its key.
        what: Its name in messages.

    Raises:
        EdgeError: HAProxy refuses it, or does not answer; the previous one stays.
    """
    version = current(instance)
    path = version.files / name
    refused = _hand_over(instance, path, pem)
    if refused is None:
        bundle.write_file(path, pem)
        return
    given = version.given()
    try:
        before = instance.worker()
        wanted = bundle.Bundle(given.config, {**given.files, name: pem})
        put(instance, None if before is None else before.version, wanted)
    except EdgeError as error:
        raise EdgeError(
            f"HAProxy refuses {what}, and keeps serving the previous certificate:\n"
            f"{refused.strip()}\n{error}"
        ) from error
    finally:
        with suppress(EdgeError):
            tidy(instance)


def _hand_over(instance: Instance, path: Path, pem: str) -> str | None:
    """Replace a certificate in the current worker; return HAProxy's answer if it refuses.

    A command has 16 KiB (tune.bufsize), which is enough for usual keys and chains.
    """
    begun = instance.ask_master("@1 show ssl cert") or ""
    for left in re.findall(r"^\*(/\S+)$", begun, re.MULTILINE):  # left by a killed run
        instance.ask_master(f"@1 abort ssl cert {left}")
    for command in (f"@1 set ssl cert {path} <<\n{pem}\n", f"@1 commit ssl cert {path}"):
        answer = instance.ask_master(command)
        if answer is None:  # nothing runs; the file is read at the next start
            return None
        if "Transaction created" not in answer and "Success!" not in answer:
            instance.ask_master(f"@1 abort ssl cert {path}")
            return answer
    return None
