"""Makes Pulumi repeat a command whose last run on this machine failed.

`controller.again` leaves a note of the failure. The note's content becomes an environment variable
of the command, which Pulumi sees as an update. The variable stays in the state, so that other
machines, which have no note, see no change.
"""

import os
import re
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pulumi

from controller.key_files import key_folder

VARIABLE = "GATEHOUSE_AGAIN"
_COMMAND = "command:local:Command"
_REPEATABLE = re.compile(
    r"(.*-)?(address|agent|boot|serving|traefik-ready|firewall-[0-9a-f]{8}|(haproxy|users)(-there|-on-vm)?)"
)
"""The names of commands that may be repeated at any time; those that make keys may not."""


def watch(resources: Mapping[str, Any]) -> Callable[[], None]:
    """Make commands leave a note if they fail, and repeat those that have left one.

    Args:
        resources: The type and outputs of each resource in the state, by its URN.

    Returns:
        What to call when all commands are registered. It warns of the notes of commands that are
        neither among these nor in the state.
    """
    folder = key_folder(pulumi.get_stack()) / "again"
    known = tokens(resources)
    registered: set[str] = set()

    def noting(
        args: pulumi.ResourceTransformationArgs,
    ) -> pulumi.ResourceTransformationResult | None:
        if args.type_ != _COMMAND or not _REPEATABLE.fullmatch(args.name):
            return None
        registered.add(args.name)
        note = folder / args.name
        commands = {
            kind: pulumi.Output.from_input(args.props[kind]).apply(partial(noted, note, kind))
            for kind in ("create", "delete")
            if args.props.get(kind) is not None
        }
        props = {**args.props, **commands}
        # A new command runs anyway.
        token = (read(note) or known[args.name]) if args.name in known else ""
        if token:
            environment = pulumi.Output.from_input(args.props.get("environment") or {})
            props["environment"] = environment.apply(lambda given: {**given, VARIABLE: token})
        return pulumi.ResourceTransformationResult(props, args.opts)

    def warn() -> None:
        for name in leftovers(folder, {*known, *registered}):
            pulumi.warn(
                f"{folder / name}: this command of an earlier update failed, but may have taken"
                " effect. It is neither in the config nor in the stack, so Pulumi cannot undo it."
                " Run `pulumi up` with the config of that update first, and change the config then."
                " If you know that nothing is left of the command, delete the file"
            )

    pulumi.runtime.register_stack_transformation(noting)
    return warn


def leftovers(folder: Path, names: Collection[str]) -> Sequence[str]:
    """Return the names of the commands with a note that are not among the given ones."""
    try:
        found = sorted(each.name for each in folder.iterdir() if _REPEATABLE.fullmatch(each.name))
    except OSError:
        return ()
    return [each for each in found if each not in names]


def tokens(resources: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the token of each command in a state, by its name; empty if it has none."""
    return {
        urn.rpartition("::")[2]: str(
            ((each.get("outputs") or {}).get("environment") or {}).get(VARIABLE, "")
        )
        for urn, each in resources.items()
        if each["type"] == _COMMAND
    }


def noted(note: Path, kind: str, command: str) -> str:
    """Return a shell command that runs another one, and leaves a note unless it succeeds.

    Args:
        note: The file.
        kind: `create`, which Pulumi also runs for an update, or `delete`.
        command: The other one.
    """
    return shlex.join(("exec", "python3", "-m", "controller.again", str(note), kind, command))


def read(note: Path) -> str:
    """Return the token of a note; empty if there is none."""
    try:
        # A link to a pipe or a device may have no end.
        descriptor = os.open(note, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as file:
            found = file.read(64).decode("ascii").strip()
    except (OSError, ValueError):
        return ""
    return found if re.fullmatch("[0-9a-f]{16}", found) else ""
