"""Facts about a haproxy.cfg, so that the edge agent need not parse it: ``facts.json`` beside it.

The program that renders haproxy.cfg writes it from the same values.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from remote.edge_agent.certificates import Spec
from remote.edge_agent.checks import Check
from remote.edge_agent.system import EdgeError

FILE = "facts.json"
_DIGEST = "[0-9a-f]{16}"
_PORTS = 2**16


@dataclass(frozen=True)
class Listener:
    """An address that HAProxy listens on, with the paths of its keys in the config."""

    address: str
    address_key: str
    port: int
    port_key: str

    @property
    def where(self) -> str:
        """The address and the port, as HAProxy's ``bind`` takes them."""
        return f"{self.address}:{self.port}"


@dataclass(frozen=True)
class Facts:
    """The facts that the edge agent needs about a haproxy.cfg."""

    listeners: tuple[Listener, ...] = ()
    checks: frozenset[Check] = frozenset()
    """The health check of each server."""
    certificates: Spec | None = None
    """None without TLS."""
    users: str | None = None
    """The digest of the userlists that it needs; None if it needs none."""
    max_connections: int | None = None
    """How many connections it takes at once; None for a limit by the host's memory."""


def text(facts: Facts) -> str:
    """Return the file's text."""
    given = {
        "listeners": [asdict(each) for each in facts.listeners],
        "checks": _grouped(facts.checks),
        "certificates": facts.certificates and asdict(facts.certificates),
        "users": facts.users,
        "max_connections": facts.max_connections,
    }
    return f"{json.dumps(given, indent=2, default=str)}\n"


def read(files: Mapping[str, str]) -> Facts:
    """Return the facts that are among a haproxy.cfg's files.

    Raises:
        EdgeError: They are missing or damaged.
    """
    try:
        return _facts(json.loads(files[FILE]))
    except KeyError as error:
        why = "is missing" if error.args == (FILE,) else f"has no {error}"
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        why = f"cannot be read ({error!r})"
    raise EdgeError(
        f"{FILE}, the facts about haproxy.cfg, {why}; nothing was changed; run `pulumi up` again"
    )


def _grouped(checks: frozenset[Check]) -> list[dict[str, Any]]:
    found: dict[tuple[str, str, str], dict[str, str]] = {}
    for each in sorted(checks, key=lambda check: (check.backend, check.server)):
        servers = found.setdefault((each.backend, each.host, each.path), {})
        servers[each.server] = each.address
    return [
        {"backend": backend, "host": host, "path": path, "servers": servers}
        for (backend, host, path), servers in found.items()
    ]


def _facts(given: Mapping[str, Any]) -> Facts:
    listeners = tuple(Listener(**each) for each in given["listeners"])
    checks = frozenset(
        Check(each["backend"], server, address, each["host"], each["path"])
        for each in given["checks"]
        for server, address in each["servers"].items()
    )
    for each in (*listeners, *checks):
        for field, value in vars(each).items():
            if type(value) is not (int if field == "port" else str):
                raise TypeError(f"{field} is {value!r}")
    if not all(0 < each.port < _PORTS for each in listeners):
        raise ValueError("a port is out of range")
    users, connections = given["users"], given["max_connections"]
    if users is not None and not re.fullmatch(_DIGEST, users):
        raise ValueError(f"users is {users!r}")
    if connections is not None and (type(connections) is not int or connections < 1):
        raise TypeError(f"max_connections is {connections!r}")
    certificates = given["certificates"]
    return Facts(
        listeners=listeners,
        checks=checks,
        certificates=None if certificates is None else Spec.from_json(certificates),
        users=users,
        max_connections=connections,
    )
