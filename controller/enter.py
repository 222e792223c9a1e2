"""A shell on a VM, or a command there: ``python3 -m controller.enter --stack prod VM``.

For people, in the program's folder. The VM's address comes from ``pulumi`` and its current backend,
the VM's host key from the key files that the program has written on this machine.
"""

import argparse
import json
import os
import subprocess
import sys

from controller.key_files import key_folder
from controller.ssh import EnterError, entering


def words(stack: str, vm: str, command: str) -> tuple[str, ...]:
    """Return the command that enters a VM; run it in this folder.

    Args:
        stack: The stack's name, as ``pulumi --stack`` takes it.
        vm: The VM's name.
        command: The command to run there; none for an interactive shell.

    Raises:
        EnterError: The VM cannot be entered from here.
    """
    ask = ("pulumi", "stack", "output", "--json", "--stack", stack)
    try:
        # stdin and stderr stay ours: Pulumi may ask for a passphrase, and reports its own errors.
        told = subprocess.run(ask, check=False, stdout=subprocess.PIPE, text=True, errors="replace")
    except FileNotFoundError:
        raise EnterError("pulumi is not on PATH; it is needed for the VMs' addresses") from None
    if told.returncode != 0:
        raise EnterError(f"`{' '.join(ask)}` failed, see above")
    # In the program, `pulumi.get_stack()` is the name without the organization and project.
    keys = key_folder(stack.rpartition("/")[2])
    missing = f"run `pulumi preview --stack {stack}` in this folder, which writes it"
    return entering(json.loads(told.stdout), vm, keys, command=command, missing=missing)


def main(arguments: list[str]) -> int:
    """Replace this process by ``ssh``; code 1 and the reason on stderr if that is impossible."""
    parser = argparse.ArgumentParser("python3 -m controller.enter", description=__doc__)
    parser.add_argument("vm", nargs="?", default="", metavar="VM")
    parser.add_argument("--stack", required=True)
    parser.add_argument("--command", default="", help="run this instead of a shell")
    args = parser.parse_args(arguments)
    try:
        found = words(args.stack, args.vm, args.command)
    except EnterError as error:
        print(f"ssh: {error}", file=sys.stderr)
    else:
        os.execvp(found[0], found)  # noqa: S606 - ssh, in our place, and no shell
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
