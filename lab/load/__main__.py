"""The load generator as a process: ``python -m lab.load --target 198.18.0.1:80 --host hello.lab``.

Runs until its standard input ends, SIGTERM, or a limit. A line on standard input names the section
that begins with it. Each section is one line of JSON on standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

from lab.load.plan import SHARES, ClientKind, LoadError, LoadPlan, target
from lab.load.run import LoadRun
from lab.trust import context


def main(arguments: list[str]) -> int:
    """Run it; return 0 even if requests failed (that is a result), 2 if the load is refused."""
    args = _parser().parse_args(arguments)
    try:
        address, port = target(args.target)
        plan = LoadPlan(
            address=address,
            port=port,
            host=args.host,
            rate=args.rate,
            body=re.compile(args.body),
            timeout=args.timeout,
            most_requests=args.most_requests,
            most_seconds=args.most_seconds,
            trusted=args.trust,
            shares={**SHARES, ClientKind.WEBSOCKET: args.websockets} if args.websockets else SHARES,
        )
        if plan.trusted is not None:
            context(plan.trusted)
    except (LoadError, re.error, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    asyncio.run(_run(plan, args.section))
    return 0


async def _run(plan: LoadPlan, section: str) -> None:
    loop = asyncio.get_running_loop()
    run = LoadRun(plan, uuid.uuid4().hex[:8], section, _tell)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, run.end)
    # A thread, because not every kind of standard input can be waited for by the loop.
    threading.Thread(target=_listen, args=(loop, run), daemon=True).start()
    await run.run()


def _listen(loop: asyncio.AbstractEventLoop, run: LoadRun) -> None:
    text = b""
    while data := os.read(sys.stdin.fileno(), 4096):
        *lines, text = (text + data).split(b"\n")
        for line in lines:
            if not loop.is_closed():
                loop.call_soon_threadsafe(run.mark, line.decode(errors="replace").strip())
    if not loop.is_closed():
        loop.call_soon_threadsafe(run.end)


def _tell(result: dict[str, Any]) -> None:
    print(json.dumps(result), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab.load", description=__doc__)
    parser.add_argument("--target", required=True, help="address:port; loopback or a lab's own")
    parser.add_argument("--host", required=True, help="the Host header")
    parser.add_argument("--rate", type=float, required=True, help="requests/s of all clients")
    parser.add_argument("--body", default=r"\S+\n", help="a regex for the answer to `GET /`")
    parser.add_argument(
        "--trust", type=Path, help="use HTTPS; trusted certificates: a PEM file or a folder of them"
    )
    parser.add_argument(
        "--websockets", type=int, default=0, help="a share of clients, beside 20 others, that echo"
    )
    parser.add_argument("--timeout", type=float, default=10.0, help="s (default: 10)")
    parser.add_argument("--most-requests", type=int, default=100_000)
    parser.add_argument("--most-seconds", type=float, default=3600.0)
    parser.add_argument("--section", default="all", help="the first section's name")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
