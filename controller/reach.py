"""Run the edge agent on another machine over SSH: ``python3 -m controller.reach apply|remove …``.

It takes the edge agent's arguments.

It first checks whether the machine can run the edge agent: its host key, our access, and Python.
Errors about these name the key of the config. Then it sends the edge agent and our standard input
there, and ends with the edge agent's exit code.

On a machine that does not answer, ``remove`` has nothing to do.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping

from controller.commands import run
from controller.ship import become
from remote.archive import EDGE_AGENT
from remote.edge_agent.command import parsed

_VARIABLES = ("GATEHOUSE_SSH", "GATEHOUSE_KEY", "GATEHOUSE_HOST")
_SSH = 255  # ssh's own exit code; any other is the remote command's
_SECONDS = 60.0


class ReachError(Exception):
    """The edge agent cannot run on the machine; the message starts with the key of its address."""


class Gone(ReachError):  # noqa: N818 - what it is
    """The machine does not answer."""


def check(ssh: list[str], key: str, host: str) -> None:
    """Check that the machine can run the edge agent.

    Args:
        ssh: The words of ``ssh``, without the remote command.
        key: ``edge.host`` or ``edge.vm``.
        host: That key's value.

    Raises:
        ReachError: It cannot.
    """
    try:
        told = run(*ssh, "python3", "--version", seconds=_SECONDS)
    except subprocess.TimeoutExpired:
        raise Gone(f"{key}: {host} does not answer over SSH within {_SECONDS:.0f} s") from None
    if told.returncode == 0:
        return
    line = (told.stderr.strip() or "no answer").splitlines()[-1]
    if told.returncode != _SSH:
        raise ReachError(
            f"{key}: {host} cannot run the edge agent: {line}; it needs python3 and, for users"
            " other than root, sudo without a password"
        )
    if "Host key verification failed" in told.stderr:
        if key == "edge.vm":
            raise Gone(
                f"{key}: the machine at the address of {host} has a different host key; has another"
                " machine taken the address?"
            )
        raise ReachError(
            f"{key}_key: {host} has a different host key, so nothing was changed there; if it was"
            f" reinstalled, get its new key with `ssh-keyscan {host}`"
        )
    if "Permission denied" in told.stderr:
        raise ReachError(
            f"edge.user: {host} refuses this machine's SSH keys: {line}; add one of them to its"
            " authorized_keys"
        )
    raise Gone(f"{key}: {host} does not answer over SSH: {line}")


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Replace this process by the ``ssh`` that runs the edge agent; code 1 if that is impossible.

    Code 2 if the edge agent has no such command.
    """
    asked = parsed(arguments, "python3 -m controller.reach")
    missing = [name for name in _VARIABLES if not environment.get(name)]
    if missing:
        print(f"the environment has no {', '.join(missing)}; Pulumi sets them", file=sys.stderr)
        return 2
    ssh = shlex.split(environment["GATEHOUSE_SSH"])
    try:
        check(ssh, environment["GATEHOUSE_KEY"], environment["GATEHOUSE_HOST"])
    except ReachError as error:
        print(error, file=sys.stderr)
        if isinstance(error, Gone) and asked.action == "remove":
            print("its edge is left as it is, if it still exists", file=sys.stderr)
            return 0
    else:
        become(ssh, EDGE_AGENT, arguments)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
