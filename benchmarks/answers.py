"""Asks the lab's edge until a certain container answers: ``python -m benchmarks.answers``.

Run inside the lab. Prints, by the machine's clock, when the answer came.
"""

from __future__ import annotations

import argparse
import re
import sys
import time

from lab import web

_TIMEOUT = 5.0  # s for one question


def main(arguments: list[str]) -> int:
    """Ask; return 0 once the answer came, 1 if it did not come in time."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.answers")
    parser.add_argument("--edge", required=True, help="host:port")
    parser.add_argument("--url", required=True)
    parser.add_argument("--trust", required=True, help="a folder of certificates, once it is there")
    parser.add_argument("--body", required=True, help="the regular expression of the answer")
    parser.add_argument("--seconds", required=True, type=float, help="how long to ask")
    args = parser.parse_args(arguments)
    end = time.monotonic() + args.seconds
    while time.monotonic() < end:
        try:
            status, body = web.get(args.edge, args.url, args.trust, _TIMEOUT)
        except web.WebError:
            status, body = 0, ""
        if status == 200 and re.fullmatch(args.body, body.strip()):
            print(time.time())
            return 0
        time.sleep(web.POLL_SECONDS)
    print(
        f"{args.url} at {args.edge}: no 200 by {args.body} in {args.seconds:g} s", file=sys.stderr
    )
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
