"""The edge agent's command line. A wrong one prints the usage, and exits with code 2."""

import argparse
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from remote.arguments import seconds

WORDS = "python3 -m remote.edge_agent"


def parser(words: str = WORDS) -> argparse.ArgumentParser:
    """Return the parser of the command line.

    Args:
        words: The words before the first argument.
    """
    made = argparse.ArgumentParser(words, allow_abbrev=False, description=__doc__)
    actions = made.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, meaning in (
        ("users", "store the userlists on stdin for the next haproxy.cfg"),
        ("apply", "check and load the haproxy.cfg on stdin"),
        ("renew", "load and obtain certificates, and reload an upgraded HAProxy"),
        ("remove", "stop this edge, and delete its folder with its certificates"),
        ("log", "write HAProxy's output to files of bounded size"),
        ("link", "let old workers reach the sockets of the newest one"),
        ("answer", "have HAProxy answer an ACME challenge; certbot runs this"),
    ):
        each = actions.add_parser(name, allow_abbrev=False, help=meaning, description=meaning)
        each.add_argument("folder", type=_folder, metavar="FOLDER", help="with the edge's files")
        each.add_argument("name", type=_name, metavar="NAME", help="the name of the stack")
        if name == "apply":
            each.add_argument(
                *("ready_seconds",),
                type=seconds,
                metavar="READY_SECONDS",
                help="how long new servers may take to pass their health check",
            )
            each.add_argument(
                *("--printed",),
                default="",
                metavar="TEXT",
                help="the output of the previous apply, whose mark is kept",
            )
        if name == "remove":
            each.add_argument(
                *("--printed",),
                metavar="TEXT",
                help="the output of an apply: an edge that was applied again since stays",
            )
        if name == "renew":
            each.add_argument(
                *("when",),
                nargs="?",
                choices=("now",),
                help="also try domains again that the ACME server has just refused",
            )
    return made


def parsed(arguments: Sequence[str], words: str = WORDS) -> argparse.Namespace:
    """Return the arguments of a command line; if they are wrong, print the usage and exit."""
    return parser(words).parse_args(list(arguments))


def _folder(text: str) -> str:
    path = PurePosixPath(text)
    if not path.is_absolute() or ".." in path.parts or len(path.parts) < 2 or "\0" in text:
        raise argparse.ArgumentTypeError(f"must be an absolute path, and not / (got {text!r})")
    return str(path)


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", text) or text in {".", ".."}:
        raise argparse.ArgumentTypeError(
            f"must be a stack's name, of letters, digits and any of _ . - (got {text!r})"
        )
    return text
