"""Run ``controller.dhcp_reservation``; see the package."""

import sys

from controller.dhcp_reservation import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
