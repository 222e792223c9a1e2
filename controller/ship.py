"""Run a program of ``remote/`` on a VM over SSH: ``python3 -m controller.ship PROGRAM …``.

The program gets our standard input, and its exit code becomes ours.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from remote.archive import VM_AGENT, VM_FIREWALL, archive
from remote.shipping import archive_command

_SSH = "GATEHOUSE_SSH"


def become(ssh: Sequence[str], program: str, arguments: Sequence[str]) -> NoReturn:
    """Replace this process by the ``ssh`` that runs a program, so that it gets Pulumi's signals.

    Args:
        ssh: The words to which the remote command is appended.
        program: Its name in ``remote/``.
        arguments: The program's.
    """
    words = (*ssh, archive_command(archive(program), *arguments))
    os.execvp(ssh[0], words)  # noqa: S606 - no shell reads them


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a program on the VM; code 2 if there is no such program."""
    parser = argparse.ArgumentParser(
        "python3 -m controller.ship", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("program", choices=(VM_AGENT, VM_FIREWALL))
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGUMENTS")
    asked = parser.parse_args(list(arguments))
    if not environment.get(_SSH):
        print(f"the environment has no {_SSH}; Pulumi sets it", file=sys.stderr)
        return 2
    become(shlex.split(environment[_SSH]), asked.program, asked.arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
