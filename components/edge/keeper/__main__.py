"""The commands of the keeper; see the package."""

import sys

from components.edge.keeper import logfile
from components.edge.keeper.apply import apply
from components.edge.keeper.instance import Instance
from components.edge.keeper.system import EdgeError


def main(arguments: list[str]) -> int:
    """Run one of the commands; code 1 and the reason on stderr if that fails."""
    action, folder, name, *rest = arguments
    instance = Instance(folder, name)
    if action == "log":
        logfile.write(sys.stdin.buffer, instance.access_log)
        return 0
    try:
        with instance.locked():
            if action == "apply":
                apply(instance, sys.stdin.read(), float(rest[0]))
            else:
                instance.stop()
    except EdgeError as error:
        print(f"edge {name}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
