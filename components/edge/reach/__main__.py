"""Run ``controller.reach``; see the package."""

import os
import sys

from controller.reach import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
