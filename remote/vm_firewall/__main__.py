"""The commands of the firewall; see the package."""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence

from remote import vm_firewall
from remote.vm_firewall.errors import FirewallError
from remote.vm_firewall.firewall import allow, forbid
from remote.vm_firewall.grant import Grant


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        "python3 -m remote.vm_firewall", description=vm_firewall.__doc__, allow_abbrev=False
    )
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    actions = made.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, meaning in (
        ("allow", "put a grant into force, and print its mark"),
        ("forbid", "take a grant out of force"),
    ):
        each = actions.add_parser(name, allow_abbrev=False, help=meaning, description=meaning)
        each.add_argument("name", type=_name, metavar="NAME", help="of the grant")
        if name == "allow":
            each.add_argument("grant", type=_grant, metavar="GRANT", help="as JSON")
        each.add_argument(
            *("--printed",),
            metavar="TEXT",
            help="the output of the allow that this one updates or undoes",
        )
    return made


def main(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> int:
    """Run a command; code 1 and the reason on stderr if it fails, 2 if there is no such command."""
    asked = parser().parse_args(list(arguments))
    try:
        if asked.action == "allow":
            connection = environment.get("SSH_CONNECTION", "")
            said = allow(asked.name, asked.grant, connection, asked.printed or "")
        else:
            said = forbid(asked.name, asked.printed)
    except (FirewallError, subprocess.CalledProcessError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    if said:
        print(said)
    return 0


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text):
        raise argparse.ArgumentTypeError(f"must be the name of a grant (got {text})")
    return text


def _grant(text: str) -> Grant:
    try:
        return Grant.from_json(text)
    except (ValueError, TypeError, KeyError) as error:
        raise argparse.ArgumentTypeError(f"is not a grant: {error!r} (got {text})") from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
