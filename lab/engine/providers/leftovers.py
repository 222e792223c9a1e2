"""Finds and deletes what a creation has left that another engine was killed at."""

from __future__ import annotations

from lab.engine.handler import Call, Connections
from lab.engine.model import Resource, package_of
from lab.engine.providers import CATALOGUE
from lab.engine.values import Props, plain


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
