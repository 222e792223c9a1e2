"""Certificates by ACME, with certbot from the distribution: obtained, and renewed in time.

Never at the cost of the edge: what fails is told, and tried again later.

Certbot answers the challenges on a port of loopback, to which HAProxy passes what is asked for
below ``/.well-known/acme-challenge/``. Its own folder, beside the edge's other files, has nothing
to do with the one of a certbot that runs there otherwise.
"""

import http.client
import json
import re
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path

from components.edge.keeper import install
from components.edge.keeper.certificates import Acme, Choice, Spec
from components.edge.keeper.instance import Instance
from components.edge.keeper.parts import write_file
from components.edge.keeper.system import EdgeError, run
from components.edge.keeper.tls import issued

_RENEWED_AT = 1 / 3
"""Of its life that is left, as Let's Encrypt recommends."""
_OTHERS_RENEWED_AT = 1 / 6
"""Of its life: a certificate from a file is late then, and whoever renewed it may have stopped."""
_FIRST_PAUSE = 15 * 60.0
"""Seconds after a failure; doubles with each. Let's Encrypt allows five an hour."""
_LONGEST_PAUSE = 24 * 3600.0
_SECONDS = 300.0  # for one certificate
_SECONDS_IN_ALL = 900.0  # none is begun later, as an update may wait for this
_DIRECTORY_SECONDS = 20.0


def obtain(
    instance: Instance, spec: Spec, choice: Choice, now: float, *, at_once: bool = False
) -> list[str]:
    """Ask the ACME server for the certificates that are due, once each.

    Returns:
        What went wrong, a text each.
    """
    acme = spec.acme
    if acme is None:
        return []
    folder = acme.folder(instance.folder)
    attempts = _Attempts(folder / "attempts.json")
    due = [domain for domain in spec.domains if _due(instance, acme, domain, choice, now)]
    due = [domain for domain in due if at_once or attempts.may_try(domain, now)]
    attempts.forget_others(spec.domains)
    if not due:
        return []
    why = _unready(acme)
    if why is not None:
        return [f"edge.tls.acme: {why}; no certificate for {', '.join(due)} yet, tried again later"]
    problems = []
    began = time.monotonic()
    for index, domain in enumerate(due):
        if time.monotonic() - began > _SECONDS_IN_ALL:
            left = ", ".join(due[index:])
            problems.append(
                f"edge.tls.acme: {acme.directory} is slow; no certificate for {left} yet, tried"
                " again later"
            )
            break
        failure = _certbot(folder, acme, domain)
        attempts.note(domain, now, failed=failure is not None)
        if failure is not None:
            problems.append(
                f"edge.tls.acme: no certificate for {domain} from {acme.directory}, tried again"
                f" later; certbot says:\n{failure}"
            )
    return problems


def _due(instance: Instance, acme: Acme, domain: str, choice: Choice, now: float) -> bool:
    if domain.startswith("*."):
        return False
    own = issued(instance, acme, domain, now)
    if own is not None and own.left(now) > _RENEWED_AT:
        return False
    other = choice.found.get(domain)
    return other is None or other.left(now) < _OTHERS_RENEWED_AT


def _unready(acme: Acme) -> str | None:
    """Return why no certificate can be had now, whatever the domain."""
    try:
        install.program("certbot")
    except EdgeError as error:
        return str(error)
    try:
        context = ssl.create_default_context(cafile=acme.ca)
        with urllib.request.urlopen(  # noqa: S310 - the config takes https only
            acme.directory, timeout=_DIRECTORY_SECONDS, context=context
        ) as answer:
            answer.read()
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return f"{acme.directory} does not answer: {reason}"
    return None


def _certbot(folder: Path, acme: Acme, domain: str) -> str | None:
    """Obtain a certificate for a domain, and return certbot's words if that fails."""
    trust = {} if acme.ca is None else {"REQUESTS_CA_BUNDLE": acme.ca}
    result = run(
        *("certbot", "certonly", "--non-interactive", "--agree-tos", "--email", acme.email),
        *("--no-eff-email", "--server", acme.directory),
        *(f"--{name}-dir={folder / name}" for name in ("config", "work", "logs")),
        *("--standalone", "--preferred-challenges", "http"),
        *("--http-01-address", "127.0.0.1", "--http-01-port", str(acme.port)),
        *("--key-type", "ecdsa", "--elliptic-curve", "secp256r1"),
        *("--cert-name", domain, "--domain", domain, "--force-renewal"),
        # So that its log is this run's.
        *("--max-log-backups", "10"),
        seconds=_SECONDS,
        environment=trust,
    )
    if result.returncode == 0:
        return None
    noise = ("Saving debug log", "Ask for help", "Requesting a certificate", "Renewing an existing")
    lines = [line for line in result.stdout.splitlines() if line and not line.startswith(noise)]
    lines += _server_said(folder / "logs" / "letsencrypt.log")
    return "\n".join(f"  {line}" for line in lines[-20:])


def _server_said(log: Path) -> list[str]:
    """Return what the server refused with, which certbot 2.1 on Python 3.11 keeps to its log."""
    try:
        said = re.findall(r"^acme\.messages\.Error: (.+)$", log.read_text(), re.MULTILINE)
    except OSError:
        return []
    return said[-1:]


class _Attempts:
    """When a certificate was last refused, and how often in a row."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._failed: dict[str, tuple[int, float]] = {
                domain: (int(times), float(at))
                for domain, (times, at) in json.loads(path.read_text()).items()
            }
        except (OSError, ValueError):
            self._failed = {}

    def may_try(self, domain: str, now: float) -> bool:
        """Return whether the pause after the last failure is over."""
        if domain not in self._failed:
            return True
        times, at = self._failed[domain]
        return now - at >= min(_FIRST_PAUSE * 2.0 ** (times - 1), _LONGEST_PAUSE)

    def note(self, domain: str, now: float, *, failed: bool) -> None:
        """Keep how an attempt ended."""
        times, _ = self._failed.pop(domain, (0, now))
        if failed:
            self._failed[domain] = (times + 1, now)
        self._write()

    def forget_others(self, domains: tuple[str, ...]) -> None:
        """Keep nothing of domains that are served no more."""
        others = self._failed.keys() - set(domains)
        if others:
            for domain in others:
                del self._failed[domain]
            self._write()

    def _write(self) -> None:
        write_file(self._path, json.dumps(self._failed))
