"""Shut a VM down as ``controller.boot`` does, with the environment variables of older states.

Those have the role's name instead of its commands.
"""

import os
import sys

from controller.boot import main

_DRAIN = {"containers": "python3 agent.py evacuate {seconds:.0f}", "edge": ""}

if __name__ == "__main__":
    role = os.environ.get("GATEHOUSE_ROLE", "containers")
    # `wait` needs the two others, but no state's delete command runs it.
    os.environ |= {
        "GATEHOUSE_DRAIN": _DRAIN[role],
        "GATEHOUSE_READY": "",
        "GATEHOUSE_WAITS_FOR": "",
    }
    sys.exit(main(sys.argv[1:]))
