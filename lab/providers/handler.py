"""The parts of a stand-in: packages of resource types, each with its handler."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from lab.providers.schema import Schema
from lab.providers.values import Props


class Connection(Protocol):
    """A provider's way to what it manages; made lazily, shared by threads."""

    def cancel(self) -> None:
        """End what may take long, and start no more of it."""

    def close(self) -> None:
        """End what was started for it."""


ConnectionT = TypeVar("ConnectionT", bound=Connection)


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A thing as the state has it, without secret marks."""

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
    """What a creation made."""

    id: str
    outputs: Props


class Handler(ABC, Generic[ConnectionT]):
    """One resource type, really carried out. Every method may raise `ProviderError`."""

    schema: Schema

    @abstractmethod
    def create(self, connection: ConnectionT, call: Call) -> Created:
        """Make the thing.

        Raises:
            PartlyCreated: It exists, but is not as it should be.
        """

    @abstractmethod
    def update(self, connection: ConnectionT, call: Call, old: Resource) -> Props:
        """Change the thing in place and return its outputs."""

    @abstractmethod
    def delete(self, connection: ConnectionT, call: Call, old: Resource) -> None:
        """Take the thing away; one that is gone already is fine where the provider says so."""

    @abstractmethod
    def read(self, connection: ConnectionT, resource: Resource) -> Resource | None:
        """Return it as it really is; None if it is gone."""


class FixedHandler(Handler[ConnectionT]):
    """A resource that its provider cannot update: any change of it is a replacement."""

    def update(self, connection: ConnectionT, call: Call, old: Resource) -> Props:  # noqa: ARG002
        """Return its outputs; nothing of it can differ."""
        return old.outputs


@dataclass(frozen=True, kw_only=True)
class Package:
    """One provider."""

    name: str
    version: str
    """The provider's release that the handlers follow."""
    provider: Schema
    """What the provider's own resource takes."""
    connect: Callable[[Props], Any]
    """Makes a `Connection` from the provider's inputs."""
    handlers: Sequence[Handler[Any]]

    @property
    def types(self) -> Mapping[str, Handler[Any]]:
        """Return the handlers by their resource type."""
        return {handler.schema.type: handler for handler in self.handlers}
