"""Runs the whole program under Pulumi's mocks and keeps what it registered.

A recording mock: nothing is made, and each resource answers with what a provider could answer, so
that a test can say which addresses the VMs got and see where in haproxy.cfg they appear.
"""

import copy
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import struct_pb2
from pulumi.runtime import mocks, rpc
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.sync_await import _ensure_event_loop

from benchmarks.mocked import private_and_public_key
from benchmarks.sites import PROGRAM, run_mocked
from remote.edge_agent.bundle import unpack
from remote.edge_agent.seal import opened

PROJECT = Path(__file__).parents[2]

CONFIG: dict[str, Any] = {
    "farm": {
        "vms": 2,
        "image": "https://example.org/debian-12.qcow2",
        "memory": "256MiB",
        "domain_type": "qemu",
    },
    "services": {
        "hello": {
            "image": "hello:1",
            "hosts": ["hello.example.org"],
            "port": 8080,
            "replicas": 3,
            "health": {"path": "/health"},
        }
    },
}


def config(**changes: Any) -> dict[str, Any]:
    """Return the usual config with some values changed, as in ``config(farm__vms=3)``."""
    changed = copy.deepcopy(CONFIG)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = changed
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return changed


@dataclass(frozen=True)
class Registered:
    """One resource as the program registered it."""

    urn: str
    type: str
    name: str
    inputs: dict[str, Any]
    id: str
    object: struct_pb2.Struct
    """Its outputs as the engine answered with them."""
    options: resource_pb2.RegisterResourceRequest


@dataclass
class Run:
    """What one run of the program did."""

    resources: dict[str, Registered] = field(default_factory=dict)
    state: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What the engine would keep: each resource's type and outputs, by its URN."""
    outputs: dict[str, Any] = field(default_factory=dict)
    registered: list[tuple[str, str]] = field(default_factory=list)
    """The type and name of each resource: two of one type cannot have one name."""

    def of_type(self, kind: str) -> dict[str, Registered]:
        """Return the resources of a type, by name, sorted: their order of registration is not."""
        return {name: each for name, each in sorted(self.resources.items()) if each.type == kind}

    def command(self, name: str, kind: str = "create") -> str:
        """Return what a command runs, or its deletion, without what notes a failure."""
        *words, note, noted, command = shlex.split(self.resources[name].inputs[kind])
        assert words == ["exec", "python3", "-m", "controller.again"]
        assert (note, noted) == (f".gatehouse/test/again/{name}", kind)
        return command

    @property
    def edge_input(self) -> str:
        """What the edge's agent would be given."""
        return opened(str(self.edge.inputs["stdin"]).encode())

    @property
    def haproxy_cfg(self) -> str:
        """What the edge's HAProxy would be given."""
        return unpack(self.edge_input).config

    @property
    def edge(self) -> Registered:
        """The command that keeps the edge, wherever that is."""
        (found,) = [
            each for name, each in self.resources.items() if name.startswith("edge-haproxy")
        ]
        return found

    def servers(self, backend: str) -> list[str]:
        """Return the lines of one backend of haproxy.cfg that are servers with a check."""
        section = self.haproxy_cfg.split(f"\nbackend {backend}\n")[1].split("\n\n")[0]
        lines = [line.strip() for line in section.splitlines() if line.startswith("    server ")]
        return [line for line in lines if "backup" not in line.split()]


class Provider(mocks.Mocks):
    """Answers for all providers; in a preview nothing that a provider decides is known."""

    def __init__(self, addresses: dict[str, str], preview: bool) -> None:
        self.addresses = addresses
        self.preview = preview

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], None]:
        raise AssertionError(f"the program must not call {args.token}")

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        if self.preview:
            made = {"stdout": rpc.UNKNOWN} if args.typ.endswith(":Command") else {}
            return "", {**args.inputs, "name": args.inputs.get("name", rpc.UNKNOWN), **made}
        outputs = {"name": f"{args.name}-abc1234", **args.inputs}
        if args.name.endswith("-keygen"):
            outputs["stdout"] = private_and_public_key(args.name)
        elif args.name.endswith("-boot"):
            outputs["stdout"] = self.addresses[args.name.removesuffix("-boot")] + "\n"
        elif args.typ == "docker:index/remoteImage:RemoteImage":
            outputs["imageId"] = f"sha256:{args.inputs['name']}"
        elif args.typ == "libvirt:index/volume:Volume" and args.name.endswith("-image"):
            # Another source makes another volume.
            return f"{args.name}-id-{args.inputs['source']}", outputs
        return f"{args.name}-id", outputs


class Monitor(mocks.MockMonitor):
    """A mock monitor that keeps the whole of each registration, options included."""

    def __init__(
        self,
        provider: Provider,
        run: Run,
        before: Run,
        spared: Callable[[str], bool],
        created: Callable[[str], bool],
    ) -> None:
        super().__init__(provider)
        self.spared = spared
        self.created = created
        self.preview = provider.preview
        self.run = run
        self.before = before

    # The two methods' names are gRPC's, and the SDK left its own without types.
    def RegisterResource(self, request: Any) -> Any:  # noqa: N802
        answer = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        if request.type == "pulumi:pulumi:Stack":
            return answer
        _ensure_event_loop()
        older = self.before.resources.get(request.name)
        if older is not None and older.type == request.type and request.custom:
            trigger = request.replacement_trigger
            if self.spared(request.name):  # the engine answers with what its state has
                answer.id = older.id
                answer.object.CopyFrom(older.object)
            elif self.created(request.name):
                if not self.preview:
                    answer.object["name"] = f"{request.name}-def5678"
            elif self.preview:  # and what replaces it is not known
                answer.id = older.id
            elif older.options.replacement_trigger != trigger:
                answer.id = f"{older.id}-replaced"
        inputs = rpc.deserialize_properties(request.object, keep_unknowns=True)
        outputs = rpc.deserialize_properties(answer.object) if request.custom else {}
        self.run.state[answer.urn] = {"type": request.type, "outputs": outputs}
        known = (request.type, request.name)
        assert known not in self.run.registered, f"two resources are called {known}"
        self.run.registered.append(known)
        self.run.resources[request.name] = Registered(
            urn=answer.urn,
            type=request.type,
            name=request.name,
            inputs=inputs,
            id=answer.id,
            object=answer.object,
            options=request,
        )
        return answer

    def Invoke(self, request: Any) -> Any:  # noqa: N802
        assert request.tok == "pulumi:pulumi:readStackResourceOutputs"
        assert dict(request.args) == {"stackName": "test"}, "it asks for its own stack"
        answer = resource_pb2.ResourceInvokeResponse()
        getattr(answer, "return").update({"outputs": self.before.state})
        return answer

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802
        # The mocks' URNs of components hold the stack's type too, and they may come after it.
        _ensure_event_loop()
        outputs = rpc.deserialize_properties(request.outputs, keep_unknowns=True)
        if "::pulumi:pulumi:Stack::" in request.urn:
            self.run.outputs |= outputs
        else:
            self.run.state[request.urn]["outputs"] = outputs
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]


def run(
    raw: dict[str, Any],
    *,
    addresses: dict[str, str] | None = None,
    preview: bool = False,
    before: Run | None = None,
    spared: Callable[[str], bool] = lambda _: False,
    created: Callable[[str], bool] = lambda _: False,
) -> Run:
    """Run ``__main__.py`` with a config.

    Args:
        raw: The config.
        addresses: What the VMs answer, by name.
        preview: Whether nothing that a provider decides is known.
        before: The run whose resources are there.
        spared: Whether a resource of that run is left as it is, by its name, as with `--target`.
        created: Whether a resource of that run is created again, by its name, as with `--replace`.
    """
    done = Run()
    count = raw["farm"]["vms"]
    if addresses is None:
        farm = raw["farm"].get("name", "web")
        addresses = {f"{farm}-{index}": f"10.90.0.{10 + index}" for index in range(count)}
        addresses[f"{farm}-edge"] = "10.90.0.254"
    provider = Provider(addresses, preview)
    monitor = Monitor(provider, done, before or Run(), spared, created)
    run_mocked(PROGRAM, raw, provider, monitor, preview=preview)
    return done
