"""The commands of the keeper; see the package."""

import sys

from components.edge.keeper import chroot, logfile, timer, users
from components.edge.keeper.apply import apply
from components.edge.keeper.instance import Instance
from components.edge.keeper.renew import renew
from components.edge.keeper.system import EdgeError


def main(arguments: list[str]) -> int:
    """Run a command; code 1 and the reason on stderr if it fails."""
    action, folder, name, *rest = arguments
    instance = Instance(folder, name)
    if action == "log":
        logfile.write(logfile.blocks(sys.stdin.fileno()), instance.access_log)
        return 0
    if action == "link":  # by whom the lock's holder waits for
        chroot.link(instance.folder)
        return 0
    if action == "renew" and not instance.live.exists():
        return 0
    try:
        with instance.locked():
            if action == "apply":
                apply(instance, sys.stdin.read(), float(rest[0]))
            elif action == "renew":
                _renew(instance, at_once=rest == ["now"])
            elif action == "users":
                users.keep(instance.folder, sys.stdin.read())
            else:
                timer.stop(instance)
                instance.stop()
    except EdgeError as error:
        print(f"edge {name}: {error}", file=sys.stderr)
        return 1
    return 0


def _renew(instance: Instance, *, at_once: bool) -> None:
    renewed = renew(instance, at_once=at_once)
    for each in renewed.taken_up:
        print(f"certificate taken up for {each}")
    if renewed.problems:
        raise EdgeError("\n".join(renewed.problems))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
