"""A provider whose world is a folder: one file per thing, so that killed processes leave traces."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.engine.errors import EngineError, PartlyCreated, Unreachable
from lab.engine.handler import Call, Catalogue, Handler, Made, Package
from lab.engine.model import Goal, Resource, copy_of
from lab.engine.schema import Effect, Schema
from lab.engine.values import Props, plain

STACK = "urn:pulumi:test::proj::pulumi:pulumi:Stack::proj-test"


class World:
    """Things by name, and a log of what was done to them."""

    def __init__(self, inputs: Props) -> None:
        self.folder = Path(inputs["folder"])

    def close(self) -> None:
        self.log("close")

    def log(self, text: str) -> None:
        with (self.folder / "log").open("a") as file:
            file.write(text + "\n")

    def path(self, name: str) -> Path:
        return self.folder / f"thing-{name}"


class Thing(Handler[World]):
    schema = Schema(
        type="fake:index:Thing",
        inputs={
            "name": Effect.REPLACE,
            "size": Effect.REPLACE,
            "color": Effect.UPDATE,
            "hidden": Effect.UPDATE,
            "parts[*].id": Effect.COUNT,
            "tags[*]": Effect.UPDATE,
            "settings.**": Effect.UPDATE,
            "fail": Effect.UPDATE,
        },
        unordered=frozenset({"tags"}),
        computed=frozenset({"echo"}),
        autonamed=True,
    )

    def create(self, connection: World, call: Call) -> Made:
        name = call.inputs["name"]
        fail = call.inputs.get("fail")
        if fail == "die before":
            os.kill(os.getpid(), signal.SIGKILL)
        if fail == "create":
            raise EngineError("the world is full")
        connection.path(name).write_text(json.dumps(call.inputs))
        connection.log(f"create {call.name}")
        if fail == "die after":
            os.kill(os.getpid(), signal.SIGKILL)
        if fail == "stop":
            os.kill(os.getpid(), signal.SIGTERM)
        if fail == "lost":
            raise Unreachable("the answer never came")
        if fail == "partly":
            raise PartlyCreated(name, {}, "it does not start")
        if fail == "quote":
            call.say(f"given {call.inputs}")
            raise PartlyCreated(name, {}, f"it does not start with {call.inputs}")
        return Made(name, {"echo": f"made {call.inputs.get('color')}"})

    def update(self, connection: World, call: Call, old: Resource) -> Props:
        if call.inputs.get("fail") == "update":
            raise EngineError("it resists")
        connection.path(old.id).write_text(json.dumps(call.inputs))
        connection.log(f"update {call.name}")
        return {"echo": f"updated {call.inputs.get('color')}"}

    def delete(self, connection: World, call: Call, old: Resource) -> None:
        if plain(old.inputs).get("fail") == "delete":
            raise EngineError("it sticks")
        connection.path(old.id).unlink(missing_ok=True)
        connection.log(f"delete {call.name}")

    def read(self, connection: World, resources: Sequence[Resource]) -> list[Resource | None]:
        connection.log(f"read {len(resources)}")
        if (connection.folder / "unreachable").exists():
            raise Unreachable("no answer")
        return [self._read(connection, each) for each in resources]

    def _read(self, connection: World, resource: Resource) -> Resource | None:
        path = connection.path(resource.id)
        if not path.exists():
            return None
        return copy_of(resource, inputs={**resource.inputs, **json.loads(path.read_text())})

    def find(self, connection: World, resource: Resource) -> Resource | None:
        name = plain(resource.inputs["name"])
        if (connection.folder / "unreachable").exists():
            raise Unreachable("no answer")
        return copy_of(resource, id=name) if connection.path(name).exists() else None


class Fussy(Thing):
    """Like `Thing`, but there cannot be two generations at once."""

    schema = Schema(
        type="fake:index:Fussy",
        inputs=Thing.schema.inputs,
        autonamed=True,
        delete_before_replace=True,
    )


CATALOGUE = Catalogue(
    [
        Package(
            name="fake",
            version="1.0.0",
            provider=Schema(type="pulumi:providers:fake", inputs={"folder": Effect.UPDATE}),
            connect=World,
            handlers=(Thing(), Fussy()),
        )
    ]
)


def urn(name: str, kind: str = "fake:index:Thing") -> str:
    return f"urn:pulumi:test::proj::{kind}::{name}"


def goal(name: str, inputs: Props | None = None, /, **options: Any) -> Goal:
    """A registration of a `Thing`, by its logical name."""
    token = options.pop("type", "fake:index:Thing")
    return Goal(
        urn=urn(name, token),
        type=token,
        name=name,
        custom=options.pop("custom", True),
        inputs=inputs or {},
        **options,
    )


def resource(name: str, inputs: Props | None = None, /, **options: Any) -> Resource:
    """A `Thing` in a state."""
    token = options.pop("type", "fake:index:Thing")
    return Resource(
        urn=urn(name, token),
        type=token,
        name=name,
        custom=options.pop("custom", True),
        id=options.pop("id", f"{name}-id"),
        inputs=inputs or {},
        outputs={},
        **options,
    )
