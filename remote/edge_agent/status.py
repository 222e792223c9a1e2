"""The state of the served certificates, for HAProxy's metrics and for people.

A renewal that fails would otherwise only be in a log until clients get an expired certificate.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from remote.edge_agent.bundle import write_file
from remote.edge_agent.certificates import Spec
from remote.edge_agent.instance import Instance
from remote.edge_agent.system import text_of
from remote.edge_agent.tls import current, in_force
from remote.edge_agent.versions import STATUS

FILE = "certificates.json"
"""Below the edge's folder."""
FIRST, PROBLEMS, LOOKED = "first", "problems", "looked"
"""Keys of the map beside the domains; no domain can have these names."""


@dataclass(frozen=True)
class Status:
    """The result of the last check of the certificates."""

    looked: float
    """The time of the check, in seconds since 1970."""
    ends: dict[str, float]
    """When the served certificate expires, by domain; unknown ones are left out."""
    problems: tuple[str, ...]
    """The problems."""


def read(edge: Path) -> Status | None:
    """Return the saved state of the edge in a folder."""
    try:
        return parsed(text_of(edge / FILE))
    except OSError:
        return None


def parsed(text: str) -> Status | None:
    """Return the state in the file's text, or None if it is invalid."""
    try:
        given = json.loads(text)
        return Status(given["looked"], given["ends"], tuple(given["problems"]))
    except (ValueError, KeyError, TypeError):
        return None


def note(instance: Instance, spec: Spec, problems: Sequence[str]) -> None:
    """Save the current state, and publish it through HAProxy.

    Raises:
        NoAnswerError: It runs and does not answer in time.
    """
    version = current(instance)
    served = {domain: in_force(instance, version, domain) for domain in spec.domains}
    ends = {domain: each.ends for domain, each in served.items() if each is not None}
    now = Status(time.time(), ends, tuple(problems))
    write_file(instance.folder / FILE, f"{json.dumps(asdict(now), indent=1)}\n", durable=False)
    path, lines = version.files / STATUS, list(entries(now))
    if not path.exists():  # from before this map existed
        return
    write_file(path, "".join(f"{line}\n" for line in lines), durable=False)
    # All at once, so that nobody reads half of it.
    told = instance.ask_master(f"@1 prepare map {path}") or ""
    number = told.strip().rpartition(" ")[2]
    if number.isdigit():
        for at in range(0, len(lines), _LINES):
            given = "\n".join(lines[at : at + _LINES])
            instance.ask_master(f"@1 add map @{number} {path} <<\n{given}\n")
        instance.ask_master(f"@1 commit map @{number} {path}")


_LINES = 50
"""Entries per command, which has 16 KiB: a domain has at most 253 characters."""


def entries(status: Status) -> Iterator[str]:
    """Yield the entries of HAProxy's map: a key and a number each."""
    yield f"{LOOKED} {status.looked:.0f}"
    yield f"{PROBLEMS} {len(status.problems)}"
    if status.ends:
        yield f"{FIRST} {min(status.ends.values()):.0f}"
    for domain, ends in status.ends.items():
        yield f"{domain} {ends:.0f}"
