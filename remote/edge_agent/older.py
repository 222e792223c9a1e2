"""The facts of a haproxy.cfg that a Gatehouse before ``facts.json`` has applied.

They are read from that text itself, and from the two files with facts that it had.
"""

import json
import re
from collections.abc import Iterator, Mapping

from remote.edge_agent.certificates import Spec
from remote.edge_agent.checks import Check
from remote.edge_agent.facts import Facts, Listener

_CERTIFICATES, _USERS = "tls.json", "users.json"


def facts(config: str, files: Mapping[str, str]) -> Facts:
    """Return the facts of a haproxy.cfg, as far as its text has them.

    Args:
        config: The haproxy.cfg.
        files: The texts of its files, by their path.

    Raises:
        ValueError, KeyError, TypeError or AttributeError: One of its files is damaged.
    """
    certificates, users = (json.loads(files.get(name, "null")) for name in (_CERTIFICATES, _USERS))
    return Facts(
        listeners=tuple(_listeners(config)),
        checks=frozenset(_checks(config)),
        certificates=None if certificates is None else Spec.from_json(certificates),
        users=users,
    )


def _listeners(config: str) -> Iterator[Listener]:
    for line in config.splitlines():
        if found := re.match(r"\s+bind (\S+):(\d+)(?: .*)?$", line):
            yield Listener(found[1], "edge.bind", int(found[2]), "edge.port")


def _checks(config: str) -> Iterator[Check]:
    """Yield the check of each server; a backup server is a copy without a check."""
    backend = host = path = ""
    for line in config.splitlines():
        words = line.split()
        if line.startswith("backend "):
            backend, host = words[1], ""
        elif words[:2] == ["http-check", "send"]:
            path, host = words[words.index("uri") + 1], words[words.index("Host") + 1]
        elif words[:1] == ["server"] and host and "backup" not in words:
            yield Check(backend, words[1], words[2], host, path)
