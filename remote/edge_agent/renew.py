"""The timer's work: load certificates that were renewed, and renew due ones by ACME."""

import time
from dataclasses import dataclass

from remote.edge_agent import acme, status
from remote.edge_agent.certificates import Certificate, choose
from remote.edge_agent.control import NoAnswerError
from remote.edge_agent.facts import FILE
from remote.edge_agent.instance import Instance
from remote.edge_agent.system import EdgeError
from remote.edge_agent.tls import (
    LIST,
    assemble,
    current,
    in_force,
    pem_name,
    take_up,
)
from remote.edge_agent.versions import Version


@dataclass(frozen=True)
class Renewed:
    """The result for all certificates."""

    taken_up: tuple[str, ...]
    """The domains with a new certificate, each with its source."""
    problems: tuple[str, ...]
    """The problems of other certificates, which stayed as they were."""
    waiting: tuple[str, ...] = ()
    """Why other domains, which the ACME server refused in an earlier run, have none yet."""


def renew(instance: Instance, *, at_once: bool = False, ahead: float = 0) -> Renewed:
    """Bring HAProxy's certificates up to date while it runs.

    Args:
        instance: The edge.
        at_once: Also ask the ACME server again for domains that have just failed.
        ahead: Seconds to add to the present time.

    Raises:
        EdgeError: The list of certificates is missing or damaged.
    """
    version = current(instance)
    spec = version.known().certificates
    if spec is None:
        _check_has_no_tls(instance, version)
        return Renewed((), ())
    choice = choose(spec, time.time() + ahead)
    problems = [*choice.problems]
    problems += acme.obtain(instance, spec, choice, time.time() + ahead, at_once=at_once)
    now = time.time() + ahead  # new ones became valid only a moment ago
    assembled = assemble(instance, spec, choice, now)
    taken_up = []
    for domain, certificate in assembled.certificates.items():
        what = f"{certificate.source} for {domain}"
        try:
            before = in_force(instance, current(instance), domain)
            stays = domain in assembled.stand_ins and _is_better(before, certificate)
            if stays or (before is not None and before.pem == certificate.pem):
                continue
            take_up(instance, pem_name(domain), certificate.pem, what)
        except NoAnswerError as error:
            problems.append(f"{what} is not loaded yet: {error}")
            break  # HAProxy would not answer for the others either
        except EdgeError as error:
            problems.append(str(error))
        else:
            taken_up.append(f"{domain} from {certificate.source}")
    waiting = tuple(acme.waiting(instance, spec, problems))
    try:
        status.note(instance, spec, [*problems, *waiting])
    except NoAnswerError as error:
        problems.append(f"the state of the certificates is not known: {error}")
    return Renewed(tuple(taken_up), tuple(problems), waiting)


def _is_better(before: Certificate | None, stand_in: Certificate) -> bool:
    """Whether somebody other than the edge signed a certificate.

    An expired one counts too: clients do not trust a self-signed one any more than that, and the
    clock may be wrong.
    """
    return before is not None and before.key != stand_in.key


def _check_has_no_tls(instance: Instance, version: Version) -> None:
    """Check that HAProxy serves no certificates if the list of them is missing.

    Raises:
        EdgeError: It does.
    """
    path = version.files / LIST
    if path.exists() or str(path) in (instance.ask_master("@1 show ssl crt-list") or ""):
        raise EdgeError(
            f"{version.files / FILE}, which names the certificates, is missing or damaged, so none"
            " is renewed; run `pulumi up` again"
        )
