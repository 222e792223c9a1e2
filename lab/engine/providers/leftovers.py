"""Finds and deletes what a creation has left that another engine was killed at."""

from __future__ import annotations

import json
from typing import Any

from lab.engine.errors import Unreachable
from lab.engine.handler import Call, Connections
from lab.engine.model import Resource, package_of
from lab.engine.providers import CATALOGUE
from lab.engine.values import Props, plain


def cleared(deployment: dict[str, Any], operation: dict[str, Any]) -> bool:
    """Clear one of the open operations of a deployment that the Pulumi CLI exported.

    The CLI itself only warns of them. The names were chosen before a creation began, so what it
    has left can be found; other operations are simply done again.

    Returns:
        Whether it is dealt with, and need not be kept.
    """
    if operation["type"] != "creating":
        return True
    resource = operation["resource"]
    provider: dict[str, Any] | None = next(
        (
            each
            for each in deployment.get("resources") or []
            if f"{each['urn']}::{each.get('id', '')}" == resource.get("provider")
        ),
        None,
    )
    if provider is None:
        # What a provider managed goes with what it was the provider of.
        return True
    try:
        delete_leftover(
            resource["type"],
            resource["urn"].rpartition("::")[2],
            revealed(resource.get("inputs") or {}),
            revealed(provider.get("inputs") or {}),
        )
    except Unreachable as error:
        print(f"  it stays noted, as it cannot be looked up: {error}", flush=True)
        return False
    return True


def revealed(value: Any) -> Any:
    """Return a value of an export with its secrets in plain text."""
    if isinstance(value, list):
        return [revealed(item) for item in value]
    if isinstance(value, dict):
        if "plaintext" in value and len(value) == 2:
            return revealed(json.loads(value["plaintext"]))
        return {key: revealed(item) for key, item in value.items()}
    return value


def delete_leftover(type_token: str, name: str, inputs: Props, provider_inputs: Props) -> None:
    """Look a thing up by the name that was chosen for it, and delete it if it is there.

    Types that this engine does not implement, and commands, have nothing to look up.

    Raises:
        Unreachable: Whoever would know does not answer.
        EngineError: It is there and cannot be deleted.
    """
    handler = CATALOGUE.handlers.get(type_token)
    if handler is None:
        return
    schema = CATALOGUE.packages[package_of(type_token)].provider
    known = {key: value for key, value in provider_inputs.items() if key in schema.inputs}
    connections = Connections(CATALOGUE)
    try:
        connection = connections.to(package_of(type_token), known)
        wanted = Resource(
            urn="", type=type_token, name=name, custom=True, inputs=inputs, outputs={}
        )
        found = handler.find(connection, wanted)
        if found is not None:
            print(f"  deleting what it left: {found.id}", flush=True)
            handler.delete(connection, Call(name=name, inputs=plain(inputs), say=print), found)
    finally:
        connections.close()
