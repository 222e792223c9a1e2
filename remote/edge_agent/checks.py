"""HAProxy's health checks, run by the edge agent before HAProxy gets a new server."""

import http.client
from collections.abc import Collection
from dataclasses import dataclass

from remote.edge_agent.system import EdgeError, poll

NO_STATE = "1\n"
"""A state of no servers in the format of ``show servers state``: its version alone."""


@dataclass(frozen=True)
class Check:
    """HAProxy's health check of one server: a GET over HTTP."""

    backend: str
    server: str
    address: str
    host: str
    path: str


def kept_state(state: str, before: Collection[Check], after: Collection[Check]) -> str:
    """Return the part of a dump by ``show servers state`` that is still true after a change.

    HAProxy would give a new server the health, and even the port, of an old server with its name.

    Args:
        state: The dump, in version 1 of its format.
        before: The checks of the configuration that made the dump.
        after: The checks of the configuration that will read it.
    """
    same = {(check.backend, check.server) for check in {*before} & {*after}}
    lines = (line.split(" ") for line in state.splitlines() if not line.startswith("#"))
    return NO_STATE + "".join(
        f"{' '.join(words)}\n" for words in lines if len(words) > 4 and (words[1], words[3]) in same
    )


def check_problem(check: Check) -> str | None:
    """Return why a server does not pass its check, or None if it does."""
    connection = http.client.HTTPConnection(check.address, timeout=10)
    try:
        connection.request("GET", check.path, headers={"Host": check.host})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
    return None if 200 <= status < 400 else f"it answers with status {status}"


def await_servers(new: Collection[Check], seconds: float) -> None:
    """Wait until each server passes its check.

    Raises:
        EdgeError: Some do not within the time; the message names all of them.
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
