"""What the program wants (`Goal`) and what exists (`Resource`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from lab.engine.values import Props, Value, from_wire, to_wire

STACK_TYPE = "pulumi:pulumi:Stack"
PROVIDER_PREFIX = "pulumi:providers:"


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """The custom time limits of a resource, in seconds; None is the provider's own."""

    create: float | None = None
    update: float | None = None
    delete: float | None = None


@dataclass(frozen=True, kw_only=True)
class Goal:
    """One registration: what the program says that a resource should be."""

    urn: str
    type: str
    name: str
    custom: bool
    inputs: Props
    parent: str = ""
    provider: str = ""
    """The provider that manages it, as `urn::id`; empty for components and default providers."""
    dependencies: tuple[str, ...] = ()
    property_dependencies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    deleted_with: str = ""
    replace_with: tuple[str, ...] = ()
    replacement_trigger: Value = None
    ignore_changes: tuple[str, ...] = ()
    replace_on_changes: tuple[str, ...] = ()
    delete_before_replace: bool | None = None
    protect: bool = False
    additional_secret_outputs: tuple[str, ...] = ()
    timeouts: Timeouts = Timeouts()


@dataclass(kw_only=True, eq=False)
class Resource:
    """One resource in the state.

    Two can have one URN: a replaced one that is still to be deleted, and its successor.
    """

    urn: str
    type: str
    name: str
    custom: bool
    id: str = ""
    inputs: Props
    outputs: Props
    autonamed: bool = False
    """Whether the engine chose the input `name`."""
    parent: str = ""
    provider: str = ""
    dependencies: tuple[str, ...] = ()
    property_dependencies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    deleted_with: str = ""
    replace_with: tuple[str, ...] = ()
    replacement_trigger: Value = None
    replace_on_changes: tuple[str, ...] = ()
    protect: bool = False
    """Neither deleted nor replaced."""
    additional_secret_outputs: tuple[str, ...] = ()
    timeouts: Timeouts = Timeouts()
    delete: bool = False
    """Replaced, and still to be deleted."""
    pending_replacement: bool = False
    """Deleted already, and its successor is still to be created."""
    init_errors: tuple[str, ...] = ()
    """What failed after it came to exist; the next run updates it."""

    @property
    def is_provider(self) -> bool:
        """Return whether it is a provider's configuration rather than a thing of its own."""
        return self.type.startswith(PROVIDER_PREFIX)

    @property
    def reference(self) -> str:
        """Return what resources that it manages call it."""
        return f"{self.urn}::{self.id}"

    def needs(self) -> set[str]:
        """Return the URNs of all that has to be there as long as this is."""
        urns = {self.parent, self.deleted_with, provider_urn(self.provider)}
        urns |= {*self.dependencies, *self.replace_with}
        for dependencies in self.property_dependencies.values():
            urns |= set(dependencies)
        return urns - {""}

    def to_json(self) -> dict[str, Any]:
        """Return the form in the state file."""
        shallow = {item.name: getattr(self, item.name) for item in fields(self)}
        shallow["timeouts"] = asdict(self.timeouts)
        for name in ("inputs", "outputs", "replacement_trigger"):
            shallow[name] = to_wire(shallow[name])
        return shallow

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Resource:
        """Read what `to_json` made."""
        values: dict[str, Any] = {
            key: tuple(item) if isinstance(item, list) else item for key, item in data.items()
        }
        for name in ("inputs", "outputs", "replacement_trigger"):
            values[name] = from_wire(data[name])
        values["property_dependencies"] = {
            key: tuple(urns) for key, urns in data["property_dependencies"].items()
        }
        values["timeouts"] = Timeouts(**data["timeouts"])
        return cls(**values)


def provider_urn(reference: str) -> str:
    """Return the URN in a provider reference."""
    return reference.rpartition("::")[0]


def package_of(type_token: str) -> str:
    """Return the package of a resource type: `docker` of `docker:index/container:Container`."""
    if type_token.startswith(PROVIDER_PREFIX):
        return type_token.removeprefix(PROVIDER_PREFIX)
    return type_token.partition(":")[0]


def resource_for(goal: Goal, inputs: Props, *, autonamed: bool) -> Resource:
    """Return the resource that a goal asks for, not created yet."""
    return Resource(
        urn=goal.urn,
        type=goal.type,
        name=goal.name,
        custom=goal.custom,
        inputs=inputs,
        outputs={},
        autonamed=autonamed,
        parent=goal.parent,
        provider=goal.provider,
        dependencies=goal.dependencies,
        property_dependencies=goal.property_dependencies,
        deleted_with=goal.deleted_with,
        replace_with=goal.replace_with,
        replacement_trigger=goal.replacement_trigger,
        replace_on_changes=goal.replace_on_changes,
        protect=goal.protect,
        additional_secret_outputs=goal.additional_secret_outputs,
        timeouts=goal.timeouts,
    )


def copy_of(resource: Resource, **changed: Any) -> Resource:
    """Return a copy with some fields changed."""
    return replace(resource, **changed)
