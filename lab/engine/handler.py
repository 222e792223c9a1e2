"""What the engine asks of a provider: packages of resource types, each with its handler."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from lab.engine.errors import EngineError, Refused
from lab.engine.model import PROVIDER_PREFIX, Resource, package_of
from lab.engine.schema import Schema
from lab.engine.values import Props, canonical, has_unknown, plain


class Connection(Protocol):
    """A provider's way to what it manages; made lazily, shared by threads."""

    def close(self) -> None:
        """End what was started for it."""


ConnectionT = TypeVar("ConnectionT", bound=Connection)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One creation, update or deletion."""

    name: str
    """The logical name."""
    inputs: Props
    """The inputs without secret marks; a deletion gets the ones of the last creation or update."""
    say: Callable[[str], None]
    """Prints a line of progress."""
    timeout: float | None = None
    """The custom time limit in seconds."""
    hushed: frozenset[str] = frozenset()
    """Outputs that are secret, so that they must not be printed either."""


@dataclass(frozen=True)
class Made:
    """What a creation made."""

    id: str
    outputs: Props


class Handler(ABC, Generic[ConnectionT]):
    """One resource type, really carried out. Every method may raise `EngineError`."""

    schema: Schema

    @abstractmethod
    def create(self, connection: ConnectionT, call: Call) -> Made:
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
    def read(self, connection: ConnectionT, resources: Sequence[Resource]) -> list[Resource | None]:
        """Return each as it really is, in order; None for those that are gone."""

    @abstractmethod
    def find(self, connection: ConnectionT, resource: Resource) -> Resource | None:
        """Return what a creation that was cut short has left, ready for `delete`, or None."""


class FixedHandler(Handler[ConnectionT]):
    """A resource that its provider cannot update: any change of it is a replacement."""

    def update(self, connection: ConnectionT, call: Call, old: Resource) -> Props:  # noqa: ARG002
        """Return its outputs; nothing of it can differ."""
        outputs: Props = plain(old.outputs)
        return outputs


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
    has_default: bool = False
    """Whether its resources may go without an explicit provider."""


class Catalogue:
    """All that this engine implements."""

    def __init__(self, packages: Sequence[Package]) -> None:
        self.packages: Mapping[str, Package] = {package.name: package for package in packages}
        self.handlers: Mapping[str, Handler[Any]] = {
            handler.schema.type: handler for package in packages for handler in package.handlers
        }
        self.schemas: dict[str, Schema] = {
            **{token: handler.schema for token, handler in self.handlers.items()},
            **{PROVIDER_PREFIX + package.name: package.provider for package in packages},
        }

    def check_type(self, type_token: str, version: str, *, has_provider: bool) -> None:
        """Refuse a custom resource's type, or the version of its provider, if it is another.

        Raises:
            Refused: It is not implemented.
        """
        package = self.packages.get(package_of(type_token))
        if package is None or type_token not in self.schemas:
            raise Refused(f"the lab engine does not implement the resource type {type_token}")
        if version and version != package.version:
            raise Refused(
                f"{type_token}: the lab engine follows {package.name} {package.version}, "
                f"and the program asks for {version}"
            )
        if not (has_provider or package.has_default or type_token.startswith(PROVIDER_PREFIX)):
            raise Refused(
                f"{type_token}: the lab engine has no default provider of {package.name}: "
                "give the resource an explicit one"
            )


class Connections:
    """The connections of one run, one for each different provider configuration."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._open: dict[tuple[str, str], Connection] = {}
        self._lock = threading.Lock()

    def to(self, package: str, inputs: Props) -> Connection:
        """Return the connection for a provider's inputs.

        Raises:
            EngineError: They are not all known yet.
        """
        if has_unknown(inputs):
            raise EngineError(f"the configuration of provider {package} is not known yet")
        with self._lock:
            key = (package, canonical(inputs))
            if key not in self._open:
                made: Connection = self._catalogue.packages[package].connect(plain(inputs))
                self._open[key] = made
            return self._open[key]

    def close(self) -> None:
        """Close them all."""
        with self._lock:
            for connection in self._open.values():
                connection.close()
            self._open.clear()
