"""ACME challenges over HTTP, answered by HAProxy itself.

No other program listens for them: certbot's hook puts the answer into a map of the current worker,
and HAProxy answers from it. So only root can answer a challenge for the edge's domains.
"""

import re
from collections.abc import Mapping
from contextlib import suppress

from remote.edge_agent.instance import Instance
from remote.edge_agent.system import EdgeError
from remote.edge_agent.tls import current
from remote.edge_agent.versions import CHALLENGES

PATH = "/.well-known/acme-challenge/"
_BASE64URL = r"[A-Za-z0-9_-]+"


def answer(instance: Instance, environment: Mapping[str, str]) -> None:
    """Put the answer that certbot gives its hook into HAProxy's map.

    Raises:
        EdgeError: HAProxy refuses it, or certbot's hook did not call this.
    """
    token = environment.get("CERTBOT_TOKEN", "")
    given = environment.get("CERTBOT_VALIDATION", "")
    if not re.fullmatch(_BASE64URL, token) or not re.fullmatch(rf"{token}\.{_BASE64URL}", given):
        raise EdgeError("only certbot runs this command, and sets CERTBOT_TOKEN for it")
    path = current(instance).files / CHALLENGES
    told = instance.ask_master(f"@1 add map {path} {PATH}{token} {given}")
    if told is None:
        raise EdgeError("HAProxy does not run, so it answers no challenge")
    if told.strip():
        raise EdgeError(f"HAProxy refuses the answer to a challenge: {told.strip()}")


def forget(instance: Instance) -> None:
    """Remove all answers from HAProxy's map."""
    with suppress(EdgeError):
        instance.ask_master(f"@1 clear map {current(instance).files / CHALLENGES}")
