"""The agent's command line. A wrong one prints the usage, and exits with code 2.

Delete commands in states of older versions have these words, so they stay.
"""

import argparse
import re
from collections.abc import Sequence

from remote.arguments import seconds

WORDS = "python3 agent.py"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(WORDS, allow_abbrev=False, description=__doc__)
    actions = made.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, meaning: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, allow_abbrev=False, help=meaning, description=meaning)

    serve = action("serve", "run the daemon")
    serve.add_argument("folder", metavar="FOLDER", help="with the agent's files")
    install = action("install", "put this program there, and wait until the daemon runs it")
    install.add_argument("file", metavar="FILE")
    deployed = action("deployed", "wait until the daemon runs this program")
    join = action("join", "show a container to Traefik once it is healthy, and print its mark")
    leave = action("leave", "hide a container, and wait for its requests in flight")
    evacuate = action("evacuate", "wait for all requests in flight, and stop all containers")
    ready = action("ready", "wait until a container answers HTTP")
    for each in (join, leave, ready):
        each.add_argument("container", type=_word, metavar="CONTAINER", help="its id")
    ready.add_argument("port", type=int, metavar="PORT")
    ready.add_argument("path", metavar="PATH")
    for each in (install, deployed, join, ready):
        each.add_argument("seconds", type=seconds, metavar="SECONDS", help="how long to wait")
    for each in (leave, evacuate):
        each.add_argument("grace", type=seconds, metavar="GRACE", help="how long to wait")
    for each, meaning in (
        (join, "the output of the previous join, whose mark is kept"),
        (leave, "the output of the join to undo: a container that joined again since stays"),
    ):
        each.add_argument("printed", nargs="?", type=_printed, metavar="mark=TEXT", help=meaning)
    return made


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what a command line says; else print the usage and exit with code 2."""
    return parser().parse_args(list(arguments))


def _word(text: str) -> str:
    if not re.fullmatch(r"\S+", text):
        raise argparse.ArgumentTypeError(f"must be the id of a container (got {text!r})")
    return text


def _printed(text: str) -> str:
    key, equals, printed = text.partition("=")
    if (key, equals) != ("mark", "="):
        raise argparse.ArgumentTypeError(f"must begin with mark= (got {text!r})")
    return printed
