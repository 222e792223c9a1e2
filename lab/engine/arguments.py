"""The command line that both engines share."""

from __future__ import annotations

import argparse
from pathlib import Path


def stack_arguments(
    prog: str, description: str | None, refresh_seconds: float
) -> argparse.ArgumentParser:
    """Return a parser of an operation and what it is about."""
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("operation", choices=("preview", "up", "refresh", "destroy", "outputs"))
    parser.add_argument("--stack", default="lab")
    parser.add_argument("--project", type=Path, default=Path(), help="the program's folder")
    parser.add_argument("--config-file", type=Path, help="default: Pulumi.<stack>.yaml")
    parser.add_argument("--state", type=Path, required=True, help="the folder of the state")
    parser.add_argument("--refresh", action="store_true", help="read what really exists first")
    parser.add_argument("--refresh-timeout", type=float, default=refresh_seconds, metavar="SECONDS")
    parser.add_argument(
        "--target-type",
        action="append",
        default=[],
        metavar="TYPE",
        help="of refresh: only of resources of this type (* is a wildcard); can be given again",
    )
    parser.add_argument(
        "--ignore-protect", action="store_true", help="of destroy: also what is protected"
    )
    parser.add_argument("--json", action="store_true", help="of outputs: the only form there is")
    parser.add_argument("--show-secrets", action="store_true", help="of outputs: in plain text")
    return parser
