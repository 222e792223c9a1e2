"""The old path of ``remote.edge_agent``, in the delete commands of older states."""

import sys

from remote.edge_agent.__main__ import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
