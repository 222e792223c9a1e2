"""A package as a real provider plugin: the `ResourceProvider` service that the Pulumi engine calls.

The engine handles secrets: it sends their values, and marks the results as secret again.
"""

from __future__ import annotations

import contextlib
import functools
import secrets
import threading
import traceback
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf import json_format
from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2_grpc
from pulumi.runtime.proto import provider_pb2 as wire
from pulumi.runtime.proto.status_pb2 import Status

from lab.providers.changes import difference
from lab.providers.handler import Call, Handler, Package, Resource
from lab.providers.provider_errors import PartlyCreated, ProviderError, Refused
from lab.providers.schema import Schema
from lab.providers.values import UNKNOWN, Props, from_wire, has_unknown, to_wire
from lab.pulumi.plugin_process import CHANNEL

_DEFAULTS = "__defaults"
"""Where bridged providers note which inputs they chose themselves; the CLI does not show it."""
_OPTIONS = ("version", "pluginDownloadURL")
"""Inputs that the engine adds to a provider's."""

ResultT = TypeVar("ResultT")


def properties(struct: Struct) -> Props:
    """Return the values in a message."""
    found: Props = from_wire(json_format.MessageToDict(struct))
    return found


def struct(values: Props) -> Struct:
    """Return values as a part of a message."""
    made = Struct()
    made.update(to_wire(values))
    return made


def _answering(method: Callable[..., ResultT]) -> Callable[..., ResultT]:
    """Turn exceptions of a method into errors that the engine shows."""

    @functools.wraps(method)
    def answer(self: Plugin, request: Any, context: grpc.ServicerContext) -> ResultT:
        try:
            return method(self, request, context)
        except PartlyCreated as error:
            _partly_created(request, context, error)
        except ProviderError as error:
            context.abort(grpc.StatusCode.UNKNOWN, str(error))
        except Exception as error:
            if context.code() is not None:  # type: ignore[attr-defined]  # it has been answered
                raise
            traceback.print_exc()
            context.abort(grpc.StatusCode.UNKNOWN, f"{type(error).__name__}: {error}")

    return answer


def _partly_created(request: Any, context: grpc.ServicerContext, error: PartlyCreated) -> NoReturn:
    """Report a resource that exists but is not as it should be, so that the state keeps it."""
    inputs = properties(request.properties)
    detail = wire.ErrorResourceInitFailed(
        id=error.identifier,
        properties=struct({**_shown(inputs), **error.outputs}),
        inputs=request.properties,
        reasons=[str(error)],
    )
    status = Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error))
    status.details.add().Pack(detail)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(grpc.StatusCode.UNKNOWN, str(error))


def type_of(urn: str) -> str:
    """Return the resource type in a URN."""
    return urn.split("::")[2].rpartition("$")[2]


def name_of(urn: str) -> str:
    """Return the logical name in a URN, which may have colons itself."""
    return urn.split("::", 3)[3]


def _shown(inputs: Props) -> Props:
    return {key: value for key, value in inputs.items() if key != _DEFAULTS}


class Plugin(provider_pb2_grpc.ResourceProviderServicer):
    """One package; the engine configures it once and then asks from many threads."""

    def __init__(self, package: Package, engine: str = "") -> None:
        """Begin.

        Args:
            package: The package to serve.
            engine: Where the engine takes log lines, as host:port; empty for nowhere.
        """
        self._package = package
        self._config: Props = {}
        self._connection: Any = None
        self._cancelled = False
        self._lock = threading.Lock()
        self._engine = (
            engine_pb2_grpc.EngineStub(grpc.insecure_channel(engine, CHANNEL)) if engine else None
        )

    def close(self) -> None:
        """Close the provider's connection."""
        with self._lock:
            self._cancelled = True
            if self._connection is not None:
                self._connection.close()

    def Handshake(self, request: Any, context: Any) -> wire.ProviderHandshakeResponse:
        """Answer the engine's handshake."""
        return wire.ProviderHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> plugin_pb2.PluginInfo:
        """Return the plugin's version."""
        return plugin_pb2.PluginInfo(version=self._package.version)

    def GetSchema(self, request: Any, context: Any) -> wire.GetSchemaResponse:
        """Return an empty schema: programs in Python have it in their SDK."""
        return wire.GetSchemaResponse(schema="{}")

    def Attach(self, request: Any, context: Any) -> Empty:
        """Refuse to be debugged."""
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "the lab's providers cannot be attached to")

    def Cancel(self, request: Any, context: Any) -> Empty:
        """Kill running commands; short operations continue, so that their results are known."""
        with self._lock:
            self._cancelled = True
            if self._connection is not None:
                self._connection.cancel()
        return Empty()

    @_answering
    def CheckConfig(self, request: Any, context: Any) -> wire.CheckResponse:
        """Refuse a configuration that is not implemented."""
        news = properties(request.news)
        own = {key: value for key, value in news.items() if key not in _OPTIONS}
        return _checked(self._package.provider, own, request.news)

    @_answering
    def DiffConfig(self, request: Any, context: Any) -> wire.DiffResponse:
        """Return the changes of the configuration, none of which replaces a resource."""
        old, new = properties(request.old_inputs), properties(request.news)
        for key in _OPTIONS:
            old.pop(key, None)
            new.pop(key, None)
        return difference(self._package.provider, old, new, named=False)

    @_answering
    def Configure(self, request: Any, context: Any) -> wire.ConfigureResponse:
        """Keep the configuration for the first operation that needs it."""
        given = properties(request.args)
        self._config = {key: value for key, value in given.items() if key not in _OPTIONS}
        return wire.ConfigureResponse(
            acceptSecrets=False, acceptResources=False, acceptOutputs=False, supportsPreview=True
        )

    @_answering
    def Check(self, request: Any, context: Any) -> wire.CheckResponse:
        """Refuse inputs that are not implemented, and choose a name where there is none."""
        try:
            schema = self._handler(request.urn).schema
        except Refused as error:
            return wire.CheckResponse(failures=[wire.CheckFailure(reason=str(error))])
        news, olds = properties(request.news), properties(request.olds)
        news.pop(_DEFAULTS, None)
        answer = _checked(schema, news, request.news)
        if answer.failures or not schema.autonamed or news.get("name") is not None:
            return answer
        kept = olds["name"] if _DEFAULTS in olds else None
        news["name"] = kept or f"{name_of(request.urn)}-{secrets.token_hex(4)[:7]}"
        return wire.CheckResponse(inputs=struct({**news, _DEFAULTS: ["name"]}))

    @_answering
    def Diff(self, request: Any, context: Any) -> wire.DiffResponse:
        """Return whether a resource stays, is updated or is replaced."""
        schema = self._handler(request.urn).schema
        old, new = properties(request.old_inputs), properties(request.news)
        named = schema.autonamed and _DEFAULTS not in old
        return difference(schema, _shown(old), _shown(new), named=named)

    @_answering
    def Create(self, request: Any, context: Any) -> wire.CreateResponse:
        """Create a resource; in a preview, only return its known outputs."""
        inputs = _shown(properties(request.properties))
        handler = self._handler(request.urn)
        if request.preview:
            return wire.CreateResponse(properties=struct(inputs))
        made = handler.create(self._connected(), self._call(request, inputs))
        return wire.CreateResponse(id=made.id, properties=struct({**inputs, **made.outputs}))

    @_answering
    def Update(self, request: Any, context: Any) -> wire.UpdateResponse:
        """Update a resource; in a preview, only return its known outputs."""
        handler = self._handler(request.urn)
        old, new = _resource(request, request.olds), _shown(properties(request.news))
        if request.preview:
            unknown = dict.fromkeys(handler.schema.computed, UNKNOWN)
            return wire.UpdateResponse(properties=struct({**old.outputs, **new, **unknown}))
        outputs = handler.update(self._connected(), self._call(request, new), old)
        return wire.UpdateResponse(properties=struct({**new, **outputs}))

    @_answering
    def Delete(self, request: Any, context: Any) -> Empty:
        """Delete a resource."""
        old = _resource(request, request.properties)
        handler = self._handler(request.urn)
        handler.delete(self._connected(), self._call(request, old.inputs), old)
        return Empty()

    @_answering
    def Read(self, request: Any, context: Any) -> wire.ReadResponse:
        """Return a resource as it exists; an answer without an id means that it is gone."""
        if not request.inputs.fields:
            raise Refused(
                "the lab's providers implement neither `import` nor `get` of a resource by its ID"
            )
        known = _resource(request, request.properties, request.inputs)
        found = self._handler(request.urn).read(self._connected(), known)
        if found is None:
            return wire.ReadResponse()
        noted = {
            key: value for key, value in properties(request.inputs).items() if key == _DEFAULTS
        }
        return wire.ReadResponse(
            id=found.id,
            properties=struct({**found.outputs, **found.inputs}),
            inputs=struct({**found.inputs, **noted}),
        )

    def _handler(self, urn: str) -> Handler[Any]:
        handler = self._package.types.get(type_of(urn))
        if handler is None:
            raise Refused(f"the lab's providers do not implement the resource type {type_of(urn)}")
        return handler

    def _connected(self) -> Any:
        with self._lock:
            if self._connection is None:
                if has_unknown(self._config):
                    raise ProviderError(f"{self._package.name}: its configuration is not known yet")
                self._connection = self._package.connect(self._config)
                if self._cancelled:
                    self._connection.cancel()
            return self._connection

    def _call(self, request: Any, inputs: Props) -> Call:
        def say(line: str) -> None:
            if self._engine is None or not line:
                return
            message = engine_pb2.LogRequest(
                severity=engine_pb2.INFO, message=line, urn=request.urn, ephemeral=True
            )
            with contextlib.suppress(
                grpc.RpcError
            ):  # a lost progress line must not end the operation
                self._engine.Log(message)

        return Call(
            name=name_of(request.urn), inputs=inputs, say=say, timeout=request.timeout or None
        )


def _checked(schema: Schema, values: Props, given: Struct) -> wire.CheckResponse:
    try:
        schema.check(values)
    except Refused as error:
        failure = wire.CheckFailure(property=error.path, reason=str(error))
        return wire.CheckResponse(failures=[failure])
    except ProviderError as error:
        return wire.CheckResponse(failures=[wire.CheckFailure(reason=str(error))])
    return wire.CheckResponse(inputs=given)


def _resource(request: Any, outputs: Struct, inputs: Struct | None = None) -> Resource:
    """Return the resource that a request is about, as the state has it."""
    known = request.old_inputs if inputs is None else inputs
    return Resource(
        id=request.id, inputs=_shown(properties(known)), outputs=_shown(properties(outputs))
    )
