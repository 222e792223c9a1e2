"""Shut a VM down as ``controller.boot`` does, by the environment of older states.

There, the role's name stands for its commands.
"""

import os
import sys

from controller.boot import main

_DRAIN = {"containers": "python3 agent.py evacuate {seconds:.0f}", "edge": ""}

if __name__ == "__main__":
    role = os.environ.get("GATEHOUSE_ROLE", "containers")
    # To wait takes the other two, and no state's delete command does.
    os.environ |= {
        "GATEHOUSE_DRAIN": _DRAIN[role],
        "GATEHOUSE_READY": "",
        "GATEHOUSE_WAITS_FOR": "",
    }
    sys.exit(main(sys.argv[1:]))
