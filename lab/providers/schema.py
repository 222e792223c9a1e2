"""The inputs of a resource type, and the effect that a change of each one has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property

from lab.providers.provider_errors import ProviderError, Refused
from lab.providers.values import UNKNOWN, Path, Props, leaves, parse_path, show_path


class Effect(Enum):
    """The effect of a change of an input."""

    UPDATE = "update"
    REPLACE = "replace"
    COUNT = "count"
    """A changed value is an update; an additional or missing one is a replacement. This applies to
    blocks that the provider's schema marks ForceNew, without marking the fields in them."""


@dataclass(frozen=True, kw_only=True)
class Schema:
    """One resource type as the lab implements it."""

    type: str
    inputs: Mapping[str, Effect]
    """Every input by its path: `*` is any index or key, `.**` at the end is everything below."""
    required: tuple[str, ...] = ()
    unordered: frozenset[str] = frozenset()
    """Inputs whose lists are sets."""
    autonamed: bool = False
    """Whether a missing `name` becomes the logical name and seven random hex digits."""
    delete_before_replace: bool = False
    """Whether the provider asks to delete the old one first."""
    computed: frozenset[str] = field(default=frozenset())
    """Outputs that an update may change, so a preview of one does not know them."""

    @cached_property
    def _patterns(self) -> list[tuple[Path, bool, Effect]]:
        return [
            (parse_path(text.removesuffix(".**")), text.endswith(".**"), effect)
            for text, effect in self.inputs.items()
        ]

    def check(self, inputs: Props) -> None:
        """Refuse inputs that are not implemented, and complain about missing ones.

        Raises:
            Refused: An input is not implemented; named by its path.
            ProviderError: A required input is missing.
        """
        for path, value in leaves(inputs):
            if not self._matching(path) and not (value is UNKNOWN and self._matching_below(path)):
                raise Refused(
                    f"{self.type}: the lab does not implement the input {show_path(path)}",
                    show_path(path),
                )
        for name in self.required:
            if inputs.get(name) is None:
                raise ProviderError(f"{self.type}: the input {name} is required")

    def forces_replacement(self, path: Path, *, counted: bool) -> bool:
        """Return whether a change at `path` replaces; `counted`: an element came or went."""
        effects = self._matching(path) or self._matching_below(path)
        return Effect.REPLACE in effects or (counted and Effect.COUNT in effects)

    def _matching(self, path: Path) -> list[Effect]:
        return [
            effect
            for pattern, rest, effect in self._patterns
            if (len(path) == len(pattern) or (rest and len(path) > len(pattern)))
            and _alike(pattern, path)
        ]

    def _matching_below(self, path: Path) -> list[Effect]:
        return [
            effect
            for pattern, _, effect in self._patterns
            if len(path) < len(pattern) and _alike(pattern, path)
        ]


def _alike(pattern: Path, path: Path) -> bool:
    return all(want in ("*", have) for want, have in zip(pattern, path, strict=False))
