"""Certificates by ACME, with certbot from the distribution: obtained, and renewed in time.

Failures are reported and tried again later; the edge keeps serving.

HAProxy answers the challenges; certbot's hook gives it the answers. This certbot has its own folder
beside the edge's other files, separate from any other certbot on the host.
"""

import hashlib
import http.client
import json
import re
import shlex
import shutil
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from remote.edge_agent import certbot, challenges, install
from remote.edge_agent.bundle import write_file
from remote.edge_agent.certificates import AcmeServer, Choice, Files, Spec, UnusableError, read
from remote.edge_agent.instance import Instance
from remote.edge_agent.system import EdgeError, run, text_of
from remote.edge_agent.tls import issued
from remote.printable import printable

_RENEWED_AT = 1 / 3
"""Renew at this share of the lifetime, as Let's Encrypt recommends."""
_OTHERS_RENEWED_AT = 1 / 6
"""At this share of the lifetime, a certificate from a file is late: renewal may have stopped."""
_FIRST_PAUSE = 15 * 60.0
"""Seconds after a failure; doubles with each. Let's Encrypt allows five an hour."""
_LONGEST_PAUSE = 24 * 3600.0
_MOST_DOUBLINGS = 10
"""More failures do not make the pause longer; 2**1024 would overflow a float."""
_SECONDS = 300.0  # seconds for one certificate
_SECONDS_IN_ALL = 900.0  # seconds after which none is begun, because an update may wait for this
_DIRECTORY_SECONDS = 20.0
_DIRECTORY_BYTES = 2**20
_LIMITED = "rateLimited"
"""A word in a server's refusal; RFC 8555, section 6.7."""
_NO_ACCOUNT = "accountDoesNotExist"
"""The same, for example from a private authority that was installed anew."""
_MOST_OF_A_LINE = 500
"""Most characters of certbot's and the server's messages; a refusal's kind comes first."""
_ALONE = 25
"""Most domains below one registered domain that get a certificate each. More are grouped, because
Let's Encrypt issues 50 certificates per registered domain and week:
https://letsencrypt.org/docs/rate-limits/"""
_TOGETHER = 25
"""Domains in each of these certificates: the most that Let's Encrypt's stricter profiles allow."""


def obtain(
    instance: Instance, spec: Spec, choice: Choice, now: float, *, at_once: bool = False
) -> list[str]:
    """Ask the ACME server for the certificates that are due, once each.

    Returns:
        The problems, one text each.
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
    try:
        groups = together(due, spec.domains, attempts.refused())
        return _obtain(instance, acme, attempts, groups, now)
    finally:
        challenges.forget(instance)


def _obtain(
    instance: Instance,
    acme: AcmeServer,
    attempts: "_Attempts",
    groups: Sequence[tuple[str, ...]],
    now: float,
) -> list[str]:
    problems: list[str] = []
    exhausted: set[str] = set()
    began = time.monotonic()
    for index, domains in enumerate(groups):
        named = ", ".join(domains)
        if time.monotonic() - began > _SECONDS_IN_ALL:
            left = ", ".join(domain for group in groups[index:] for domain in group)
            problems.append(
                f"edge.tls.acme: {acme.directory} is slow; no certificate for {left} yet, tried"
                " again later"
            )
            break
        if registered(domains[0]) in exhausted:
            problems.append(
                f"edge.tls.acme: no certificate for {named} yet, tried again later: the server's"
                f" limit for {registered(domains[0])} is reached"
            )
            continue
        failed, said = _attempt(instance, acme, domains, now - began)
        if _LIMITED in said:
            exhausted.add(registered(domains[0]))
        why = (
            f"edge.tls.acme: no certificate for {', '.join(failed)} from {acme.directory}, tried"
            f" again later; {said}"
        )
        for domain in domains:
            attempts.note(domain, now, why if domain in failed else None)
        problems += [why] if failed else []
    return problems


def waiting(instance: Instance, spec: Spec, known: Sequence[str]) -> list[str]:
    """Return why domains wait for their next attempt, except the reasons in ``known``."""
    if spec.acme is None:
        return []
    attempts = _Attempts(spec.acme.folder(instance.folder) / "attempts.json")
    return [why for why in attempts.reasons() if why not in known]


def registered(domain: str) -> str:
    """Return an approximation of the registered domain: the last two labels.

    For ``shop.example.co.uk`` it is too short, so more domains than necessary are grouped.
    """
    return ".".join(domain.removeprefix("*.").split(".")[-2:])


def together(
    due: Sequence[str], served: Sequence[str], refused: Collection[str] = ()
) -> list[tuple[str, ...]]:
    """Return which domains are to have one certificate, in the order in which they are due.

    Args:
        due: The domains that need one now.
        served: All that the edge serves: domains that are due together now will be so later too.
        refused: Those that were refused before. Some of them get an order of their own, because a
            server may refuse a whole order for one domain.
    """
    counts = Counter(registered(each) for each in served if not each.startswith("*."))
    alone: list[tuple[str, ...]] = []
    again: Counter[str] = Counter()
    groups: dict[str, list[str]] = {}
    for each in due:
        below = registered(each)
        again[below] += each in refused
        if counts[below] <= _ALONE or (each in refused and again[below] <= _ALONE):
            alone.append((each,))
        else:
            groups.setdefault(below, []).append(each)
    return alone + [
        tuple(group[at : at + _TOGETHER])
        for group in groups.values()
        for at in range(0, len(group), _TOGETHER)
    ]


def _due(instance: Instance, acme: AcmeServer, domain: str, choice: Choice, now: float) -> bool:
    if domain.startswith("*."):
        return False
    own = issued(instance, acme, domain, now)
    if own is not None and own.left(now) > _RENEWED_AT:
        return False
    other = choice.found.get(domain)
    return other is None or other.left(now) < _OTHERS_RENEWED_AT


def _unready(acme: AcmeServer) -> str | None:
    """Return why no certificate can be obtained now for any domain."""
    try:
        install.program("certbot")
    except EdgeError as error:
        return str(error)
    found: list[str | None] = []
    # A connection's timeout applies to each read, so a server that trickles would hold the update.
    asking = threading.Thread(target=lambda: found.append(_silence(acme)), daemon=True)
    asking.start()
    asking.join(_DIRECTORY_SECONDS)
    reason = found[0] if found else f"no complete answer after {_DIRECTORY_SECONDS:.0f} s"
    return None if reason is None else f"{acme.directory} does not answer: {printable(reason)}"


def _silence(acme: AcmeServer) -> str | None:
    """Return why a server does not answer with its directory, or None if it does."""
    try:
        context = ssl.create_default_context(cafile=acme.ca)
        with urllib.request.urlopen(  # noqa: S310 - the config takes https only
            acme.directory, timeout=_DIRECTORY_SECONDS, context=context
        ) as answer:
            if len(answer.read(_DIRECTORY_BYTES + 1)) > _DIRECTORY_BYTES:
                return f"it is longer than {_DIRECTORY_BYTES} bytes"
    except (OSError, http.client.HTTPException, ValueError) as error:
        return str(error.reason if isinstance(error, urllib.error.URLError) else error)
    return None


def _attempt(
    instance: Instance, acme: AcmeServer, domains: Sequence[str], clock: float
) -> tuple[list[str], str]:
    """Ask for one certificate, and return the domains that have none then, and why.

    Args:
        instance: The edge.
        acme: The server.
        domains: The domains of the certificate.
        clock: The difference between the time and the monotonic clock.
    """
    config = acme.folder(instance.folder) / "config"
    certbot.forget_damaged_accounts(config)
    name = certbot.lineage(config, _lineage(domains))
    failure = _certbot(instance, acme, domains, name)
    if failure is not None and _NO_ACCOUNT in failure:
        certbot.put_accounts_aside(config)
        failure = _certbot(instance, acme, domains, name)
    if failure is not None:
        return list(domains), f"certbot says:\n{printable(failure)}"
    now = clock + time.monotonic()
    failed = [each for each in domains if issued(instance, acme, each, now) is None]
    files = Files.below(config / "live" / name)
    return failed, _unusable(files, domains, now) if failed else ""


def _unusable(files: Files, domains: Sequence[str], now: float) -> str:
    """Return why the certificate that was just obtained is not for all of the domains."""
    try:
        certificate = read(files)
    except UnusableError as error:
        return f"the server's certificate cannot be used: {error.path} {error.why}"
    problem = certificate.problem(now)
    if problem is not None:
        return f"the server's certificate {problem}; look at the clock of this machine"
    if not any(certificate.covers(each) for each in domains):
        return f"the server's certificate is for {', '.join(certificate.names) or 'no name'}"
    return "certbot says:\n  not all of its domains were proved"


def _certbot(instance: Instance, acme: AcmeServer, domains: Sequence[str], name: str) -> str | None:
    """Obtain a certificate for domains, and return certbot's words if that fails.

    Domains that cannot be proved are left out. The certificate is called ``name``.
    """
    folder = acme.folder(instance.folder)
    trust = {} if acme.ca is None else {"REQUESTS_CA_BUNDLE": acme.ca}
    python = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
    hook = (python, str(instance.program), "answer", str(instance.folder), instance.name)
    result = run(
        *("certbot", "certonly", "--non-interactive", "--agree-tos", "--email", acme.email),
        *("--no-eff-email", "--server", acme.directory),
        *(f"--{name}-dir={folder / name}" for name in ("config", "work", "logs")),
        *("--manual", "--preferred-challenges", "http", "--manual-auth-hook", shlex.join(hook)),
        *("--key-type", "ecdsa", "--elliptic-curve", "secp256r1"),
        *("--cert-name", name, "--domain", ",".join(domains), "--force-renewal"),
        # An earlier one of this name may have fewer domains: those that could be proved then.
        *(("--allow-subset-of-names", "--renew-with-new-domains") if len(domains) > 1 else ()),
        # So that its log is from this run.
        *("--max-log-backups", "10"),
        seconds=_SECONDS,
        environment=trust,
    )
    if result.returncode == 0:
        return None
    noise = ("Saving debug log", "Ask for help", "Requesting a certificate", "Renewing an existing")
    lines = [line for line in result.stdout.splitlines() if line and not line.startswith(noise)]
    lines += _server_said(folder / "logs" / "letsencrypt.log")
    return "\n".join(f"  {line[:_MOST_OF_A_LINE]}" for line in lines[-20:])


def _lineage(domains: Sequence[str]) -> str:
    """Return certbot's name for the certificate of these domains, unique to them."""
    if len(domains) == 1:
        return domains[0]
    return f"group-{hashlib.sha256(' '.join(domains).encode()).hexdigest()[:16]}"


def _server_said(log: Path) -> list[str]:
    """Return the server's refusal, which certbot 2.1 on Python 3.11 writes to its log only."""
    try:
        said = re.findall(r"^acme\.messages\.Error: (.+)$", text_of(log), re.MULTILINE)
    except OSError:
        return []
    return said[-1:]


class _Attempts:
    """When a certificate was last refused, and how often in a row."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # An unreadable record is ignored: one attempt too many does no harm.
        try:
            self._failed: dict[str, tuple[int, float, str]] = {
                domain: (int(times), float(at), str(*why))
                for domain, (times, at, *why) in json.loads(path.read_text()).items()
            }
        except (OSError, ValueError, TypeError, AttributeError, OverflowError):
            self._failed = {}

    def reasons(self) -> list[str]:
        """Return the reasons of the refusals, once each."""
        return list(dict.fromkeys(why for *_, why in self._failed.values() if why))

    def refused(self) -> set[str]:
        """Return the domains that were refused for a reason other than a limit on certificates."""
        return {domain for domain, (*_, why) in self._failed.items() if _LIMITED not in why}

    def may_try(self, domain: str, now: float) -> bool:
        """Return whether the pause after the last failure is over."""
        if domain not in self._failed:
            return True
        times, at, _ = self._failed[domain]
        if at > now:  # the clock was ahead then
            return True
        doubled = min(times - 1, _MOST_DOUBLINGS)
        return now - at >= min(_FIRST_PAUSE * 2.0**doubled, _LONGEST_PAUSE)

    def note(self, domain: str, now: float, why: str | None) -> None:
        """Record the result of an attempt: why it failed, or None."""
        times, *_ = self._failed.pop(domain, (0, now, ""))
        if why is not None:
            self._failed[domain] = (times + 1, now, why)
        self._write()

    def forget_others(self, domains: tuple[str, ...]) -> None:
        """Forget domains that are no longer served."""
        others = self._failed.keys() - set(domains)
        if others:
            for domain in others:
                del self._failed[domain]
            self._write()

    def _write(self) -> None:
        write_file(self._path, json.dumps(self._failed))
