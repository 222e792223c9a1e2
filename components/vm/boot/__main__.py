"""Run ``controller.boot``; see the package."""

import sys

from controller.boot import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
