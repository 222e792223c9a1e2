"""Stack configs of any size, and runs of the program with them under Pulumi's mocks."""

from __future__ import annotations

import asyncio
import json
import runpy
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import mocks, settings
from pulumi.runtime.stack import run_in_stack

PROJECT = Path(__file__).parents[1]
PROGRAM = PROJECT / "__main__.py"
FLOOR = PROJECT / "benchmarks" / "floor" / "__main__.py"
_FIRST_ADDRESS = IPv4Address("10.90.0.10")


def config(*, vms: int, services: int, replicas: int) -> dict[str, Any]:
    """Return a stack config, without the prefix of its keys.

    Args:
        vms: How many VMs.
        services: How many services, each of them on all VMs.
        replicas: How many containers a service has on each VM.
    """
    return {
        "farm": {
            "vms": vms,
            "image": "https://example.org/debian-12.qcow2",
            "memory": "256MiB",
            "domain_type": "qemu",
            # As over a tunnel, or this machine's memory would have to suffice for them.
            "hypervisors": [{"uri": "qemu+ssh://root@localhost/system?no_verify=1"}],
            "network": {"cidr": "10.90.0.0/16"},
        },
        "services": {
            f"service-{index}": {
                "image": f"registry.example.org/service-{index}:1",
                "hosts": [f"service-{index}.example.org"],
                "port": 8080,
                "replicas": replicas * vms,
                "health": {"path": "/health"},
            }
            for index in range(services)
        },
    }


def address(name: str) -> str:
    """Return the address that the VM ``web-<number>`` has."""
    return str(_FIRST_ADDRESS + int(name.rpartition("-")[2]))


def run_mocked(
    program: Path,
    raw: dict[str, Any],
    provider: mocks.Mocks,
    monitor: mocks.MockMonitor,
    *,
    preview: bool = False,
) -> None:
    """Run a program with a config to its end under a mock monitor.

    Gatehouse's writes the key files of a stack below the working folder.
    """

    async def run() -> None:
        pulumi.runtime.set_all_config(
            {f"gatehouse:{key}": json.dumps(value) for key, value in raw.items()}
        )
        mocks.set_mocks(
            provider,
            project="gatehouse",
            stack="test",
            preview=preview,
            monitor=monitor,
            organization="organization",
        )
        settings.set_root_resource(None)  # type: ignore[arg-type]  # set_mocks makes one that is finished already
        await run_in_stack(lambda: _run(program))

    # In a thread of its own: the SDK nests event loops and leaves Python 3.11's recursion counter
    # wrong, upon which the next thing that is parsed fails with "AST constructor recursion depth".
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, run()).result()


def _run(program: Path) -> None:
    runpy.run_path(str(program), run_name="__main__")
