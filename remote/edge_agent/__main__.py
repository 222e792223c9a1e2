"""The commands of the edge agent; see the package."""

import argparse
import os
import sys
from collections.abc import Sequence

from remote.edge_agent import (
    bundle,
    challenges,
    chroot,
    claims,
    facts,
    install,
    logfile,
    mark,
    seal,
    timer,
    upgraded,
    users,
)
from remote.edge_agent.apply import apply
from remote.edge_agent.command import parsed
from remote.edge_agent.facts import Listener
from remote.edge_agent.instance import Instance
from remote.edge_agent.renew import renew
from remote.edge_agent.system import EdgeError

_READING = frozenset({"apply", "users"})
_UNLOCKED = frozenset({"log", "link", "answer"})
"""Commands that run without the lock, because its holder waits for them."""


def main(arguments: Sequence[str]) -> int:
    """Run a command; code 1 and the reason on stderr if it fails, 2 if there is no such command."""
    asked = parsed(arguments)
    instance = Instance(asked.folder, asked.name)
    try:
        if asked.action in _UNLOCKED:
            claims.check_is_edge(instance)
            _run_beside(instance, asked.action)
            return 0
        install.mend_if_left()
        # Before any file is created, and before waiting for the lock.
        given = seal.opened(sys.stdin.buffer.read()) if asked.action in _READING else ""
        listeners: tuple[Listener, ...] = ()
        if asked.action == "apply":
            listeners = facts.read(bundle.unpack(given).files).listeners
        claims.check(instance, listeners, removes=asked.action == "remove")
        _run(instance, asked, given)
    except EdgeError as error:
        print(f"edge {asked.name}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        # The error of a full disk, for instance, has no path.
        told = f"{error.strerror or error} ({error.filename or f'below {asked.folder}'})"
        print(f"edge {asked.name}: {told}; fix that, and run this again", file=sys.stderr)
        return 1
    return 0


def _run_beside(instance: Instance, action: str) -> None:
    if action == "log":
        logfile.write(logfile.blocks(sys.stdin.fileno()), instance.access_log, instance.log)
    elif action == "link":
        os.umask(0o077)
        chroot.link(instance.folder)
    else:
        challenges.answer(instance, os.environ)


def _run(instance: Instance, asked: argparse.Namespace, given: str) -> None:
    if asked.action == "renew" and not instance.live.exists():
        return
    with instance.locked():
        if asked.action == "apply":
            apply(instance, given, asked.ready_seconds)
            print(f"in force, with the mark {mark.made(instance.folder, asked.printed)}")
        elif asked.action == "users":
            users.keep(instance.folder, given)
        elif asked.action == "renew":
            _renew(instance, at_once=asked.when == "now")
        elif asked.action == "remove" and mark.is_another(instance.folder, asked.printed):
            print(f"the edge {asked.name} was applied again since, so it stays")
        elif asked.action == "remove":
            timer.stop(instance)
            instance.stop()


def _renew(instance: Instance, *, at_once: bool) -> None:
    problems = []
    instance.restore_supervision()
    try:
        if upgraded.run_what_is_installed(instance):
            print("HAProxy was upgraded, and now runs the new version")
    except EdgeError as error:
        problems.append(str(error))
    renewed = renew(instance, at_once=at_once)
    for each in renewed.taken_up:
        print(f"certificate loaded for {each}")
    # Nobody would notice a unit that fails only once in many runs.
    problems += [*renewed.problems, *renewed.waiting]
    if problems:
        raise EdgeError("\n".join(problems))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
