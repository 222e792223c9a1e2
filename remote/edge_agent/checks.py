"""HAProxy's health checks of a haproxy.cfg, run before HAProxy gets it."""

import http.client
from dataclasses import dataclass
from typing import Any

from remote.edge_agent.system import EdgeError, poll

NO_STATE = "1\n"
"""The version of the format of ``show servers state``; no servers."""


@dataclass(frozen=True)
class Check:
    """HAProxy's health check of one server."""

    backend: str
    server: str
    address: str
    host: str
    path: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    """Beside ``Host``."""


def checks(text: str) -> set[Check]:
    """Return the HTTP check of every server in a haproxy.cfg that Gatehouse rendered.

    Backup servers are left out: they are the same servers again, without a check.
    """
    found: set[Check] = set()
    backend = ""
    asked: dict[str, Any] = {}
    for line in text.splitlines():
        words = line.split()
        if line.startswith("backend "):
            backend, asked = words[1], {}
        elif words[:2] == ["http-check", "send"]:
            asked = _asked(words)
        elif words[:1] == ["server"] and asked and "backup" not in words:
            found.add(Check(backend=backend, server=words[1], address=words[2], **asked))
    return found


def _asked(words: list[str]) -> dict[str, Any]:
    at = [index for index, word in enumerate(words) if word == "hdr"]
    headers = {words[index + 1]: words[index + 2] for index in at}
    return {
        "method": words[words.index("meth") + 1],
        "path": words[words.index("uri") + 1],
        "host": headers.pop("Host"),
        "headers": tuple(headers.items()),
    }


def kept_state(state: str, before: str, after: str) -> str:
    """Return the part of a dump by ``show servers state`` that is still true after a change.

    HAProxy would give a new server the health, and even the port, of an old one of its name.

    Args:
        state: The dump, in version 1 of its format.
        before: The haproxy.cfg that it was made under.
        after: The haproxy.cfg that will read it.
    """
    same = {(check.backend, check.server) for check in checks(before) & checks(after)}
    lines = (line.split(" ") for line in state.splitlines() if not line.startswith("#"))
    return NO_STATE + "".join(
        f"{' '.join(words)}\n" for words in lines if len(words) > 4 and (words[1], words[3]) in same
    )


def check_problem(check: Check) -> str | None:
    """Return why a server does not pass its check, or None if it does."""
    connection = http.client.HTTPConnection(check.address, timeout=10)
    try:
        headers = {"Host": check.host, **dict(check.headers)}
        connection.request(check.method, check.path, headers=headers)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
    return None if 200 <= status < 400 else f"it answers with status {status}"


def await_servers(new: set[Check], seconds: float) -> None:
    """Wait until each server passes its check.

    Raises:
        EdgeError: One does not within the time; all that do not are named.
    """
    missing = dict.fromkeys(new, "")

    def all_pass() -> bool:
        for check in list(missing):
            why = check_problem(check)
            if why is None:
                del missing[check]
            else:
                missing[check] = why
        return not missing

    if not poll(all_pass, seconds, pause=0.2):
        lines = [
            f"  services.{check.backend} on {check.server}: http://{check.address}{check.path} with"
            f" Host {check.host}: {why}"
            for check, why in sorted(missing.items(), key=lambda item: str(item[0]))
        ]
        raise EdgeError(
            f"servers that do not pass their health check after {seconds:.0f} s:\n"
            + "\n".join(lines)
            + "\n  Look at `journalctl -u gatehouse-agent` and the containers' logs on the VM."
        )
