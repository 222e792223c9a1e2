"""The lab's commands, as the Makefile calls them: ``python -m lab up|preview|status|…``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from controller.ssh import EnterError
from lab.acme_server import AcmeError
from lab.authority import AuthorityError
from lab.commands import Lab, LabError
from lab.datacentre import DatacentreError
from lab.images.containers import ContainerImageError
from lab.images.debian import ImageError
from lab.lock import LockError
from lab.namespaces import NamespaceError
from lab.packages import PackagesError
from lab.prerequisites import MachineError
from lab.pulumi.cli import CliError
from lab.pulumi.errors import StackError
from lab.pulumi.tools import ProvidersError
from lab.stack_copies import StackFileError
from lab.web import WebError

_TOLD = (
    LabError,
    EnterError,
    AcmeError,
    AuthorityError,
    DatacentreError,
    CliError,
    StackError,
    ProvidersError,
    ContainerImageError,
    ImageError,
    LockError,
    MachineError,
    NamespaceError,
    PackagesError,
    StackFileError,
    WebError,
)


def main(arguments: list[str]) -> int:
    """Run one command; return 0 on success, else 1 with the reason on stderr."""
    args = _parser().parse_args(arguments)
    lab = Lab(
        name=args.name,
        providers=args.providers,
        config_file=args.config_file.resolve(),
        acme=args.acme,
    )
    try:
        if args.command == "scale":
            return lab.scale(vms=args.vms, service=args.service, replicas=args.replicas)
        if args.command == "ssh":
            return lab.ssh(args.vm, args.run)
        commands = {
            "up": lab.up,
            "preview": lab.preview,
            "status": lab.status,
            "smoke": lab.smoke,
            "down": lab.down,
            "shell": lab.shell,
        }
        return commands[args.command]()
    except _TOLD as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; run the same command again to continue", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    parser.add_argument("--name", default="lab", help="which lab (default: lab)")
    parser.add_argument("--providers", choices=("auto", "real", "lab"), default="auto")
    parser.add_argument(
        "--config-file",
        type=Path,
        default=Path(os.environ.get("CONFIG_FILE", "Pulumi.lab.yaml")),
        help="the stack's config (default: Pulumi.lab.yaml)",
    )
    parser.add_argument(
        "--acme", action="store_true", help="certificates from an ACME server in the lab"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, meaning in {
        "up": "build the lab and apply the stack in it",
        "preview": "show what `up` would change",
        "status": "show the VMs, their containers and their state at the edge",
        "smoke": "send requests to the edge until every container has answered",
        "down": "destroy the stack and remove the lab",
        "shell": "open a shell inside the lab",
    }.items():
        commands.add_parser(name, help=meaning)
    scale = commands.add_parser("scale", help="set counts in the config and apply it")
    scale.add_argument("--vms", type=int)
    scale.add_argument("--service")
    scale.add_argument("--replicas", type=int)
    ssh = commands.add_parser("ssh", help="open a shell on a VM, or run a command there")
    ssh.add_argument("vm", nargs="?", default="", metavar="VM")
    ssh.add_argument("--command", dest="run", default="")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
