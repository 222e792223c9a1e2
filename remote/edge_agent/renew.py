"""The timer's work: load certificates that were renewed, and renew due ones by ACME."""

import time
from dataclasses import dataclass

from remote.edge_agent import acme, bundle, status
from remote.edge_agent.certificates import Certificate, choose
from remote.edge_agent.control import NoAnswerError
from remote.edge_agent.instance import Instance
from remote.edge_agent.system import EdgeError
from remote.edge_agent.tls import assemble, current, in_force, pem_name, spec_in, take_up


@dataclass(frozen=True)
class Renewed:
    """The result for all certificates."""

    taken_up: tuple[str, ...]
    """The domains with a new certificate, each with its source."""
    problems: tuple[str, ...]
    """The problems of others, which stayed as they were."""


def renew(instance: Instance, *, at_once: bool = False, ahead: float = 0) -> Renewed:
    """Bring HAProxy's certificates up to date while it runs.

    Args:
        instance: The edge.
        at_once: Ask the ACME server also for domains that failed only recently.
        ahead: Act as if it were so many seconds later.
    """
    spec = spec_in(bundle.read(current(instance).files))
    if spec is None:
        return Renewed((), ())
    choice = choose(spec, time.time() + ahead)
    problems = [*choice.problems]
    problems += acme.obtain(instance, spec, choice, time.time() + ahead, at_once=at_once)
    now = time.time() + ahead  # those that were obtained are valid since a moment ago
    assembled = assemble(instance, spec, choice, now)
    taken_up = []
    for domain, certificate in assembled.certificates.items():
        what = f"{certificate.source} for {domain}"
        try:
            before = in_force(instance, current(instance), domain)
            stays = domain in assembled.stand_ins and _is_better(before, certificate, now)
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
    try:
        status.note(instance, spec, [*problems, *acme.waiting(instance, spec, problems)])
    except NoAnswerError as error:
        problems.append(f"the state of the certificates is not known: {error}")
    return Renewed(tuple(taken_up), tuple(problems))


def _is_better(before: Certificate | None, stand_in: Certificate, now: float) -> bool:
    """Whether a certificate is valid and none that the edge itself signed."""
    return before is not None and before.problem(now) is None and before.key != stand_in.key
