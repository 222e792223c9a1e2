"""One run under mocks, in a process of its own: ``python -m benchmarks.mocked '{"vms": 10, …}'``.

Prints as JSON how long it took and how much memory. What is run is the program or its floor, which
registers as many empty resources with the same parents and does nothing else.

The mocks answer with the inputs as they came, unread, so that what is measured is the program and
the SDK in it rather than the mocks.
"""

from __future__ import annotations

import ast
import gc
import importlib
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pulumi.runtime import mocks
from pulumi.runtime.proto import resource_pb2

from benchmarks import sites
from benchmarks.process_memory import resident_bytes


class NoMocks(mocks.Mocks):
    """An engine that refuses every call, as the monitor answers all of them."""

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], None]:
        """Refuse."""
        raise AssertionError(f"the program must not call {args.token}")

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        """Refuse."""
        raise AssertionError(f"{args.name} is answered by the monitor")


class Echo(mocks.MockMonitor):
    """Answers each registration with its inputs, and what else a provider has to tell."""

    def __init__(self) -> None:
        super().__init__(NoMocks())
        self.shape: list[tuple[int, bool]] = []
        """What benchmarks.floor reads, in the order of registration."""
        self._lock = threading.Lock()
        self._numbers: dict[str, int] = {}

    # The methods' names are gRPC's, and the SDK left its own without types.
    def Invoke(self, request: Any) -> Any:  # noqa: ARG002, N802
        """Tell that the stack has nothing yet, which is all that the program asks for."""
        answer = resource_pb2.ResourceInvokeResponse()
        getattr(answer, "return").update({"outputs": {}})
        return answer

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802
        """Answer at once."""
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == "pulumi:pulumi:Stack":
            return resource_pb2.RegisterResourceResponse(urn=urn)
        with self._lock:
            self._numbers[urn] = len(self.shape)
            self.shape.append((self._numbers.get(request.parent, -1), request.custom))
        answer = resource_pb2.RegisterResourceResponse(
            urn=urn, id=f"{request.name}-id" if request.custom else "", object=request.object
        )
        for key, value in outputs(request.type, request.name).items():
            answer.object.fields[key].string_value = value
        return answer


def outputs(kind: str, name: str) -> dict[str, str]:
    """Return what of a resource's outputs is not among its inputs, and the program uses."""
    if name.endswith("-keygen"):
        return {"stdout": private_and_public_key(name)}
    if name.endswith("-boot"):
        return {"stdout": sites.address(name.removesuffix("-boot")) + "\n"}
    if kind == "docker:index/remoteImage:RemoteImage":
        return {"imageId": f"sha256:{name}"}
    return {"name": f"{name}-abc1234"} if not kind.startswith("command:") else {}


def private_and_public_key(name: str) -> str:
    """Return text like ssh-keygen's output."""
    return (
        "-----BEGIN OPENSSH PRIVATE KEY-----\n"
        f"private half of {name}\n"
        "-----END OPENSSH PRIVATE KEY-----\n"
        f"ssh-ed25519 AAAA{name.encode().hex()} {name}\n"
    )


def import_all() -> None:
    """Import the program's imports, which count as start-up."""
    for node in ast.parse(sites.PROGRAM.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            importlib.import_module(str(node.module))


def main(what: dict[str, Any]) -> dict[str, Any]:
    """Run it once.

    Args:
        what: ``vms``, ``services`` and ``replicas``; and ``shape``, a file. The program writes it,
            and with ``floor`` it is read.
    """
    import_all()
    floor, shape = what["floor"], Path(what["shape"])
    os.environ["SHAPE"] = str(shape)
    raw = sites.config(**{key: what[key] for key in ("vms", "services", "replicas")})
    monitor = Echo()
    gc.collect()
    before, began, cpu_began = resident_bytes(), time.perf_counter(), time.process_time()
    sites.run_mocked(sites.FLOOR if floor else sites.PROGRAM, raw, monitor.mocks, monitor)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    peak = resident_bytes(most=True) - before
    if not floor:
        shape.write_text(json.dumps(monitor.shape))
    return {
        "resources": len(monitor.shape),
        "seconds": seconds,
        "cpu_seconds": cpu,
        "bytes": peak,
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
