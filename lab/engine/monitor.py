"""The engine's side of the SDK: reads registrations, and refuses what is not implemented."""

from __future__ import annotations

import re
from typing import Any

from google.protobuf import (  # type: ignore[import-untyped]
    empty_pb2,
    json_format,
    struct_pb2,
)
from pulumi import get_project, get_stack
from pulumi.runtime import mocks
from pulumi.runtime.proto import engine_pb2, resource_pb2

from lab.engine.deployment import Deployment
from lab.engine.display import Display
from lab.engine.errors import EngineError, Refused
from lab.engine.model import STACK_TYPE, Goal, Timeouts
from lab.engine.values import Props, Value, from_wire, to_wire

# What a registration may carry and this engine does not implement, by the request's field.
_REFUSED_OPTIONS = {
    "importId": "import_",
    "aliases": "aliases",
    "aliasURNs": "aliases",
    "remote": "remote components",
    "retainOnDelete": "retain_on_delete",
    "pluginDownloadURL": "plugin_download_url",
    "pluginChecksums": "plugin checksums",
    "transforms": "transforms",
    "hooks": "hooks",
    "hideDiffs": "hide_diffs",
    "envVarMappings": "env_var_mappings",
    "packageRef": "parameterized packages",
    "snippetId": "snippets",
    "state_migrations": "state migrations",
}
_COMPONENT_REFUSED = {
    "ignoreChanges": "ignore_changes",
    "additionalSecretOutputs": "additional_secret_outputs",
    "replaceOnChanges": "replace_on_changes",
    "replace_with": "replace_with",
    "replacement_trigger": "replacement_trigger",
    "deleteBeforeReplaceDefined": "delete_before_replace",
    "customTimeouts": "custom_timeouts",
}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class NoMocks(mocks.Mocks):
    """Stands where the SDK wants mocks; nothing asks it, because every method is overridden."""

    def call(self, args: mocks.MockCallArgs) -> Any:
        """Refuse an invoke."""
        raise Refused(f"the lab engine does not implement the function {args.token}")

    def new_resource(self, args: mocks.MockResourceArgs) -> Any:
        """Refuse a resource that got here."""
        raise Refused(f"the lab engine does not implement {args.typ} this way")


class LabMonitor(mocks.MockMonitor):
    """The SDK's monitor, with real resources behind it."""

    def __init__(self, deployment: Deployment) -> None:
        super().__init__(NoMocks())
        self._deployment = deployment

    def features(self) -> list[int]:
        """Return what the SDK may make use of."""
        info = self.GetDeploymentInfo(empty_pb2.Empty())  # type: ignore[no-untyped-call]
        return list(info.supportedFeatures)

    def RegisterResource(  # noqa: N802 - the SDK's name
        self, request: resource_pb2.RegisterResourceRequest
    ) -> resource_pb2.RegisterResourceResponse:
        """Carry a registration out."""
        try:
            goal = goal_of(request, urn_of(request))
        except EngineError as error:
            self._deployment.fail(request.name, error)
            raise
        answer = self._deployment.register(goal, request.version)
        return resource_pb2.RegisterResourceResponse(
            urn=goal.urn, id=answer.id, object=_struct(answer.outputs)
        )

    def RegisterResourceOutputs(  # noqa: N802 - the SDK's name
        self, request: resource_pb2.RegisterResourceOutputsRequest
    ) -> empty_pb2.Empty:
        """Keep a component's outputs."""
        self._deployment.register_outputs(request.urn, _props(request.outputs))
        return empty_pb2.Empty()

    def Invoke(self, request: Any) -> Any:  # noqa: N802 - the SDK's name
        """Answer what a stack asks of its own state; refuse any other function call."""
        read = {
            "pulumi:pulumi:readStackOutputs": self._deployment.exported_before,
            "pulumi:pulumi:readStackResourceOutputs": self._deployment.resources_before,
        }.get(request.tok)
        asked = _props(request.args)
        if read is None or get_stack() not in asked.values():
            raise Refused(f"the lab engine does not implement the function {request.tok}")
        answer = resource_pb2.ResourceInvokeResponse()
        getattr(answer, "return").CopyFrom(_struct({"outputs": read()}))
        return answer

    def ReadResource(self, request: Any) -> Any:  # noqa: N802 - the SDK's name
        """Refuse to read a resource that is not the stack's own."""
        raise Refused(f"{request.type}: the lab engine does not implement get ({request.name})")

    def ExistsResource(self, request: Any) -> Any:  # noqa: N802 - the SDK's name
        """Refuse to look for a resource."""
        raise Refused(f"the lab engine does not implement the look-up of {request.type}")

    def RegisterPackage(self, request: Any) -> Any:  # noqa: N802 - the SDK's name
        """Refuse a parameterized provider."""
        raise Refused(f"the lab engine does not implement parameterized packages ({request.name})")

    def RegisterStackTransform(self, request: Any) -> Any:  # noqa: ARG002, N802 - the SDK's
        """Refuse a stack transform."""
        raise Refused("the lab engine does not implement stack transforms")

    def RegisterStackInvokeTransform(self, request: Any) -> Any:  # noqa: ARG002, N802 - the SDK's
        """Refuse a stack transform of function calls."""
        raise Refused("the lab engine does not implement stack transforms")

    def RegisterResourceHook(self, request: Any) -> Any:  # noqa: N802 - the SDK's name
        """Refuse a hook."""
        raise Refused(f"the lab engine does not implement hooks ({request.name})")

    def RegisterErrorHook(self, request: Any) -> Any:  # noqa: N802 - the SDK's name
        """Refuse a hook."""
        raise Refused(f"the lab engine does not implement hooks ({request.name})")


class EngineLog:
    """Takes what the program logs."""

    def __init__(self, display: Display) -> None:
        self._display = display

    def Log(self, request: engine_pb2.LogRequest) -> empty_pb2.Empty:  # noqa: N802 - the SDK's name
        """Print it, debug messages left out."""
        if request.severity == engine_pb2.ERROR:
            self._display.error("", request.message)
        elif request.severity != engine_pb2.DEBUG:
            self._display.line(f"    {request.message}")
        return empty_pb2.Empty()


def goal_of(request: resource_pb2.RegisterResourceRequest, urn: str) -> Goal:
    """Read a registration.

    Raises:
        Refused: It carries an option that is not implemented; named with the resource.
        EngineError: A value in it has no meaning here.
    """
    refused = dict(_REFUSED_OPTIONS)
    if not request.custom:
        refused |= _COMPONENT_REFUSED
    for name, option in refused.items():
        if _is_set(request, name):
            raise Refused(
                f"{request.name} ({request.type}): the lab engine does not implement {option}"
            )
    trigger = None
    if request.HasField("replacement_trigger"):
        trigger = from_wire(json_format.MessageToDict(request.replacement_trigger))
    try:
        return Goal(
            urn=urn,
            type=request.type,
            name=request.name,
            custom=request.custom,
            inputs=_props(request.object),
            parent=request.parent,
            provider=request.provider,
            dependencies=tuple(sorted(request.dependencies)),
            property_dependencies={
                key: tuple(sorted(value.urns))
                for key, value in sorted(request.propertyDependencies.items())
                if value.urns
            },
            deleted_with=request.deletedWith,
            replace_with=tuple(request.replace_with),
            replacement_trigger=trigger,
            ignore_changes=tuple(request.ignoreChanges),
            replace_on_changes=tuple(request.replaceOnChanges),
            delete_before_replace=(
                request.deleteBeforeReplace if request.deleteBeforeReplaceDefined else None
            ),
            protect=request.protect,
            additional_secret_outputs=tuple(request.additionalSecretOutputs),
            timeouts=Timeouts(
                create=seconds(request.customTimeouts.create),
                update=seconds(request.customTimeouts.update),
                delete=seconds(request.customTimeouts.delete),
            ),
        )
    except ValueError as error:
        raise EngineError(f"{request.name} ({request.type}): {error}") from error


def urn_of(request: resource_pb2.RegisterResourceRequest) -> str:
    """Return the URN of a registration: its parents' types are part of it, but for the stack's."""
    qualified = request.type
    if request.parent:
        parent = request.parent.split("::")[2]
        if parent != STACK_TYPE:
            qualified = f"{parent}${qualified}"
    return f"urn:pulumi:{get_stack()}::{get_project()}::{qualified}::{request.name}"


def seconds(text: str) -> float | None:
    """Read a duration as Pulumi writes it, such as `10m` or `1h30m`; None for an empty text.

    Raises:
        ValueError: It is not a duration.
    """
    if not text:
        return None
    if not re.fullmatch(rf"(?:{_DURATION.pattern})+", text):
        raise ValueError(f"{text!r} is not a duration such as 10m or 90s")
    return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(text))


def _is_set(request: resource_pb2.RegisterResourceRequest, name: str) -> bool:
    value = getattr(request, name)
    if hasattr(value, "ListFields"):
        return bool(value.ListFields())
    return bool(value)


def _props(struct: struct_pb2.Struct) -> Props:
    props: Props = from_wire(json_format.MessageToDict(struct))
    return props


def _struct(props: Props) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    wire: dict[str, Value] = to_wire(props)
    struct.update(wire)
    return struct
