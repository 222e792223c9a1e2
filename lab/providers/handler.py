"""The parts of a stand-in: packages of resource types, each with its handler."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from lab.providers.schema import Schema
from lab.providers.values import Props


class Connection(Protocol):
    """A provider's connection to the system that it manages; opened lazily, shared by threads."""

    def cancel(self) -> None:
        """Stop operations that may take long, and start no more of them."""

    def close(self) -> None:
        """Close the connection, and end the processes behind it."""


ConnectionT = TypeVar("ConnectionT", bound=Connection)


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource as in the state, without secret marks."""

    id: str
    inputs: Props
    outputs: Props


def copy_of(resource: Resource, **changed: Any) -> Resource:
    """Return a copy with some fields changed."""
    return replace(resource, **changed)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One creation, update or deletion."""

    name: str
    """The logical name."""
    inputs: Props
    """The inputs without secret marks; a deletion gets the ones of the last creation or update."""
    say: Callable[[str], None]
    """Shows a line of progress."""
    timeout: float | None = None
    """The custom time limit in seconds."""


@dataclass(frozen=True)
class Created:
    """The result of a creation."""

    id: str
    outputs: Props


class Handler(ABC, Generic[ConnectionT]):
    """The operations on one resource type. Every method may raise `ProviderError`."""

    schema: Schema

    @abstractmethod
    def create(self, connection: ConnectionT, call: Call) -> Created:
        """Create the resource.

        Raises:
            PartlyCreated: It exists, but is not as it should be.
        """

    @abstractmethod
    def update(self, connection: ConnectionT, call: Call, old: Resource) -> Props:
        """Change the resource in place and return its outputs."""

    @abstractmethod
    def delete(self, connection: ConnectionT, call: Call, old: Resource) -> None:
        """Delete the resource. Whether it may be gone already is up to the provider."""

    @abstractmethod
    def read(self, connection: ConnectionT, resource: Resource) -> Resource | None:
        """Return the resource as it exists; None if it is gone."""


class FixedHandler(Handler[ConnectionT]):
    """A resource that its provider cannot update: any change of it is a replacement."""

    def update(self, connection: ConnectionT, call: Call, old: Resource) -> Props:  # noqa: ARG002
        """Return its outputs, which cannot have changed."""
        return old.outputs


@dataclass(frozen=True, kw_only=True)
class Package:
    """One provider."""

    name: str
    version: str
    """The provider's version that the handlers imitate."""
    provider: Schema
    """The inputs of the provider resource."""
    connect: Callable[[Props], Any]
    """Makes a `Connection` from the provider's inputs."""
    handlers: Sequence[Handler[Any]]

    @property
    def types(self) -> Mapping[str, Handler[Any]]:
        """Return the handlers by their resource type."""
        return {handler.schema.type: handler for handler in self.handlers}
