"""The plugins as the Pulumi engine sees them: over gRPC, with its own messages."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import engine_pb2_grpc, provider_pb2_grpc
from pulumi.runtime.proto import provider_pb2 as wire
from pulumi.runtime.proto.status_pb2 import Status

from lab.providers import VERSIONS, package
from lab.providers.handler import Call, Created, FixedHandler, Package, Resource, copy_of
from lab.providers.plugin import Plugin, properties, struct
from lab.providers.provider_errors import PartlyCreated, ProviderUnreachable
from lab.providers.schema import Effect, Schema
from lab.providers.values import UNKNOWN, Props
from tests.support.program import PROJECT

KIND = "fake:index:Thing"
URN = f"urn:pulumi:s::p::my:own:Group${KIND}::a::b"
COMMAND = "urn:pulumi:s::p::command:local:Command::c"


class Nowhere:
    def __init__(self, config: Props) -> None:
        self.config = config

    def cancel(self) -> None: ...

    def close(self) -> None: ...


class Thing(FixedHandler[Nowhere]):
    schema = Schema(
        type=KIND,
        inputs={
            "name": Effect.REPLACE,
            "color": Effect.UPDATE,
            "tags[*]": Effect.UPDATE,
            "parts[*].id": Effect.COUNT,
        },
        unordered=frozenset({"tags"}),
        computed=frozenset({"echo"}),
        autonamed=True,
    )

    def create(self, connection: Nowhere, call: Call) -> Created:
        match call.inputs.get("color"):
            case "half":
                raise PartlyCreated("x-1", {"echo": "half"}, "it does not start")
            case "far":
                raise ProviderUnreachable("nobody answers")
        call.say(f"paints {call.name}")
        return Created("x-1", {"echo": f"{connection.config['uri']} {call.timeout}"})

    def delete(self, connection: Nowhere, call: Call, old: Resource) -> None:
        del connection, call, old

    def read(self, connection: Nowhere, resource: Resource) -> Resource | None:
        del connection
        if resource.id == "gone":
            return None
        return copy_of(resource, inputs={**resource.inputs, "color": "faded"})


FAKE = Package(
    name="fake",
    version="1.0.0",
    provider=Schema(type="pulumi:providers:fake", inputs={"uri": Effect.UPDATE}, required=("uri",)),
    connect=Nowhere,
    handlers=(Thing(),),
)


class Engine(engine_pb2_grpc.EngineServicer):
    def __init__(self) -> None:
        self.lines: list[tuple[str, str, bool]] = []

    def Log(self, request: Any, context: Any) -> Empty:  # noqa: ARG002, N802 - the protocol's
        self.lines.append((request.urn, request.message, request.ephemeral))
        return Empty()


@pytest.fixture
def engine() -> Iterator[tuple[Engine, str]]:
    server = grpc.server(ThreadPoolExecutor(2))
    made = Engine()
    engine_pb2_grpc.add_EngineServicer_to_server(made, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield made, f"127.0.0.1:{port}"
    server.stop(None).wait()


def served(plugin: Plugin) -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    server = grpc.server(ThreadPoolExecutor(8))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(plugin, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield provider_pb2_grpc.ResourceProviderStub(channel)
    plugin.close()
    server.stop(None).wait()


@pytest.fixture
def fake(engine: tuple[Engine, str]) -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    for stub in served(Plugin(FAKE, engine[1])):
        stub.Configure(wire.ConfigureRequest(args=struct({"uri": "there", "version": "1.0.0"})))
        yield stub


@pytest.fixture
def command() -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    yield from served(Plugin(package("command")))


def check(stub: Any, news: Props, olds: Props | None = None) -> wire.CheckResponse:
    answer: wire.CheckResponse = stub.Check(
        wire.CheckRequest(urn=URN, news=struct(news), olds=struct(olds or {}))
    )
    return answer


def diff(stub: Any, old: Props, new: Props, urn: str = URN) -> wire.DiffResponse:
    answer: wire.DiffResponse = stub.Diff(
        wire.DiffRequest(id="x", urn=urn, old_inputs=struct(old), news=struct(new))
    )
    return answer


def test_versions_are_those_that_the_program_is_written_for() -> None:
    text = (PROJECT / "requirements.in").read_text()
    for name, version in VERSIONS.items():
        assert f"pulumi-{name}=={version}\n" in text
        assert package(name).version == version


def test_a_name_is_chosen_once_and_kept(fake: Any) -> None:
    first = properties(check(fake, {"color": "red"}).inputs)
    assert first["name"].startswith("a::b-")
    assert len(first["name"]) == len("a::b-") + 7
    again = properties(check(fake, {"color": "blue"}, first).inputs)
    assert again["name"] == first["name"]
    successor = properties(check(fake, {"color": "blue"}).inputs)
    assert successor["name"] != first["name"], "a successor has another one beside it"
    given = properties(check(fake, {"name": "mine"}, first).inputs)
    assert given == {"name": "mine"}


def test_what_is_not_implemented_is_refused_by_its_path(fake: Any) -> None:
    (failure,) = check(fake, {"parts": [{"id": 1, "size": 2}]}).failures
    assert failure.property == "parts[0].size"
    assert f"{KIND}: the lab does not implement the input parts[0].size" in failure.reason
    other = wire.CheckRequest(urn="urn:pulumi:s::p::fake:index:Other::x", news=struct({}))
    (failure,) = fake.Check(other).failures
    assert "do not implement the resource type fake:index:Other" in failure.reason
    (failure,) = fake.CheckConfig(wire.CheckRequest(news=struct({"url": "x"}))).failures
    assert failure.property == "url"
    (failure,) = fake.CheckConfig(wire.CheckRequest(news=struct({}))).failures
    assert "uri is required" in failure.reason
    for question, asked in (
        (fake.Invoke, wire.InvokeRequest(tok="fake:index:get")),
        (fake.Construct, wire.ConstructRequest()),
        (fake.Read, wire.ReadRequest(id="x", urn=URN)),
    ):
        with pytest.raises(grpc.RpcError):
            question(asked)


def test_what_the_engine_adds_to_a_configuration_is_its_own(fake: Any) -> None:
    given = {"uri": "x", "version": "1.0.0"}
    assert properties(fake.CheckConfig(wire.CheckRequest(news=struct(given))).inputs) == given
    same = wire.DiffRequest(
        old_inputs=struct({"uri": "x"}), news=struct({"uri": "x", "version": "2"})
    )
    assert fake.DiffConfig(same).changes == wire.DiffResponse.DIFF_NONE
    other = wire.DiffRequest(old_inputs=struct({"uri": "x"}), news=struct({"uri": UNKNOWN}))
    answer = fake.DiffConfig(other)
    assert (answer.changes, list(answer.replaces)) == (wire.DiffResponse.DIFF_SOME, [])


def test_a_change_is_an_update_or_a_replacement(fake: Any) -> None:
    assert diff(fake, {"tags": ["a", "b"]}, {"tags": ["b", "a"]}).changes == (
        wire.DiffResponse.DIFF_NONE
    )
    update = diff(fake, {"color": "a", "__defaults": ["name"]}, {"color": "b"})
    assert list(update.diffs) == ["color"]
    assert list(update.replaces) == []
    assert update.detailedDiff["color"].kind == wire.PropertyDiff.UPDATE
    named = diff(fake, {"name": "a"}, {"name": "b"})
    assert list(named.replaces) == ["name"]
    assert named.deleteBeforeReplace, "the program chose the name, so there cannot be two"
    auto = diff(fake, {"name": "a", "__defaults": ["name"]}, {"name": "b"})
    assert not auto.deleteBeforeReplace
    part = {"parts": [{"id": 1}]}
    assert not diff(fake, part, {"parts": [{"id": 2}]}).replaces
    assert list(diff(fake, part, {"parts": [{"id": 1}, {"id": 2}]}).replaces) == ["parts"]
    assert list(diff(fake, part, {"parts": UNKNOWN}).replaces) == ["parts"]


def test_a_thing_is_made_with_progress(fake: Any, engine: tuple[Engine, str]) -> None:
    made = fake.Create(
        wire.CreateRequest(
            urn=URN, properties=struct({"color": "red", "__defaults": ["name"]}), timeout=7
        )
    )
    assert made.id == "x-1"
    assert properties(made.properties) == {"color": "red", "echo": "there 7.0"}
    assert engine[0].lines == [(URN, "paints a::b", True)]


def test_a_preview_tells_what_is_known_and_makes_nothing(fake: Any) -> None:
    request = wire.CreateRequest(urn=URN, properties=struct({"color": "half"}), preview=True)
    assert properties(fake.Create(request).properties) == {"color": "half"}
    request = wire.UpdateRequest(
        id="x",
        urn=URN,
        olds=struct({"color": "red", "echo": "old", "at": 1}),
        news=struct({"color": "blue"}),
        preview=True,
    )
    assert properties(fake.Update(request).properties) == {
        "color": "blue",
        "echo": UNKNOWN,
        "at": 1,
    }


def test_half_a_thing_is_not_lost(fake: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        fake.Create(wire.CreateRequest(urn=URN, properties=struct({"color": "half"})))
    status = Status()
    metadata: Any = caught.value.trailing_metadata()
    (text,) = [value for key, value in metadata if key == "grpc-status-details-bin"]
    status.ParseFromString(text)
    detail = wire.ErrorResourceInitFailed()
    assert status.details[0].Unpack(detail)
    assert (detail.id, list(detail.reasons)) == ("x-1", ["it does not start"])
    assert properties(detail.properties) == {"color": "half", "echo": "half"}
    assert properties(detail.inputs) == {"color": "half"}


def test_an_error_has_the_words_of_whoever_says_it(fake: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        fake.Create(wire.CreateRequest(urn=URN, properties=struct({"color": "far"})))
    assert caught.value.details() == "nobody answers"


def test_what_is_gone_has_no_id_and_what_differs_is_told(fake: Any) -> None:
    inputs = struct({"color": "red", "name": "n", "__defaults": ["name"]})
    assert fake.Read(wire.ReadRequest(id="gone", urn=URN, inputs=inputs)).id == ""
    found = fake.Read(wire.ReadRequest(id="x", urn=URN, inputs=inputs))
    assert found.id == "x"
    assert properties(found.inputs) == {"color": "faded", "name": "n", "__defaults": ["name"]}
    assert properties(found.properties) == {"color": "faded", "name": "n"}


def test_a_provider_that_is_not_configured_yet_says_so() -> None:
    for stub in served(Plugin(FAKE)):
        stub.Configure(wire.ConfigureRequest(args=struct({"uri": UNKNOWN})))
        with pytest.raises(grpc.RpcError) as caught:
            stub.Create(wire.CreateRequest(urn=URN, properties=struct({"color": "red"})))
        assert "configuration is not known yet" in str(caught.value.details())


def test_secrets_are_left_to_the_engine(fake: Any) -> None:
    answer = fake.Configure(wire.ConfigureRequest(args=struct({"uri": "x"}), acceptSecrets=True))
    assert (answer.acceptSecrets, answer.supportsPreview) == (False, True)


def test_cancelling_ends_commands_with_what_they_started_and_begins_no_more(
    command: Any, tmp_path: Path
) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; wait"
    request = wire.CreateRequest(urn=COMMAND, properties=struct({"create": script}))
    failed: list[str] = []

    def create() -> None:
        with pytest.raises(grpc.RpcError) as caught:
            command.Create(request)
        failed.append(str(caught.value.details()))

    thread = threading.Thread(target=create)
    thread.start()
    deadline = time.monotonic() + 20
    while not (tmp_path / "pid").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    command.Cancel(Empty())
    thread.join(20)
    assert failed[0].startswith("cancelled: running ")
    status = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/status")
    assert not status.exists() or "State:\tZ" in status.read_text()
    create()
    assert failed[1] == "cancelled"
