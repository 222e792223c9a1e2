"""Other ways to write a value, for errors about a value of the wrong form.

A proposal is a guess. Only proposals that the config's models accept are shown.
"""

import ipaddress
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError

from components.config.models.stack import Stack

_SHELL = re.compile(r"[|&;<>()$`*?\[\]{}~#\n]")
"""Characters with a meaning for a shell; splitting a command that has them would change it."""

_LONGEST = 200
"""Characters of the longest value that is repeated in an error."""

_LARGEST = 1e15

_WORDS = {
    **dict.fromkeys(("true", "yes", "on", "y"), True),
    **dict.fromkeys(("false", "no", "off", "n"), False),
}


Place = tuple[str | int, ...]
"""Where a value is in the config: keys, and numbers in lists."""


@dataclass(frozen=True)
class Proposal:
    """A value in another form."""

    value: object
    """The value in the other form."""

    advice: str
    """The advice, without the value."""

    joint: str | None = None
    """The words between advice and value; None if the value must not be repeated."""

    def text(self, *, secret: bool) -> str:
        """Return the advice, with the value unless it may be secret or is too long."""
        shown = written(self.value)
        if secret or self.joint is None or len(shown) > _LONGEST or not shown.isprintable():
            return self.advice
        return f"{self.advice}{self.joint}{shown}"


def written(value: object) -> str:
    """Return a value as YAML, on one line."""
    text = yaml.safe_dump(
        value, default_flow_style=True, allow_unicode=True, sort_keys=False, width=float("inf")
    )
    return text.removesuffix("...\n").rstrip("\n")


def advice(raw: Mapping[str, Any], place: Place, value: object, *, secret: bool) -> str:
    """Return how to write a value so that it is accepted, after a semicolon; empty if unknown.

    Args:
        raw: The whole config.
        place: Where the value is.
        value: As it was given.
        secret: Whether the value must not be repeated.
    """
    meant = [each for each in _networks(value) if _accepted(raw, place, each)]
    if meant:
        return f"; did you mean {' or '.join(meant)}?"
    found = (each for each in proposals(str(place[-1]), value) if _accepted(raw, place, each.value))
    return next((f"; {each.text(secret=secret)}" for each in found), "")


def _accepted(raw: Mapping[str, Any], place: Place, value: object) -> bool:
    """Whether a value has no error at a place of the config, whatever else is wrong there."""
    try:
        Stack.model_validate(_with(raw, place, value))
    except ValidationError as error:
        return all(item["loc"][: len(place)] != place for item in error.errors())
    except (LookupError, TypeError):  # pydantic's place may have a step that the file has not
        return False
    return True


def _with(raw: Any, place: Place, value: object) -> object:
    """Return a copy of the config with a value at a place.

    Raises:
        LookupError: The config has no such place.
    """
    if not place:
        return value
    changed = _with(raw[place[0]], place[1:], value)
    if isinstance(raw, Mapping):
        return {**raw, place[0]: changed}
    return [changed if index == place[0] else each for index, each in enumerate(raw)]


def _networks(value: object) -> Iterator[str]:
    """Yield the network and the address that a text such as ``10.0.0.1/8`` may stand for.

    It is not a network, because the address has bits set beyond the prefix.
    """
    if not isinstance(value, str) or "/" not in value or "%" in value:
        return
    try:
        given = ipaddress.ip_interface(value.strip())
    except ValueError:
        return
    if given.ip != given.network.network_address:
        yield str(given.network)
        yield str(given.ip)


def proposals(key: str, value: object) -> Iterator[Proposal]:
    """Yield other forms of a value, the likeliest first.

    Args:
        key: The last part of its path.
        value: As it was given.
    """
    yield from _scalars(value)
    if isinstance(value, str) or _short(value):
        for entries in _lists(key, value):
            yield Proposal(entries, "write it as a list", ": ")
    elif isinstance(value, Mapping):
        yield Proposal([value], "put `- ` before its first key")
    elif isinstance(value, list):
        yield from _of_a_list(value)


def _short(value: object) -> bool:
    """Whether a value is a number that Python can write; it limits the number of digits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < _LARGEST


def _scalars(value: object) -> Iterator[Proposal]:
    if isinstance(value, str):
        text = value.strip()
        if re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            yield Proposal(int(text), "write it without quotes", ": ")
        elif re.fullmatch(r"[+-]?[0-9]{1,18}\.[0-9]{1,18}", text):
            yield Proposal(float(text), "write it without quotes", ": ")
        elif text.lower() in _WORDS:
            yield Proposal(_WORDS[text.lower()], "write", " ")
    elif isinstance(value, float) and _short(value) and value.is_integer():
        yield Proposal(int(value), "write", " ")


def _lists(key: str, value: object) -> Iterator[list[object]]:
    """Yield the lists that a scalar may have been meant as."""
    if key == "command" and isinstance(value, str):
        yield _command(value)
    else:
        yield [value]
        parts: list[Any] = re.split(r"[,\s]+", str(value).strip(" ,[]"))
        yield parts
        yield [next(_networks(each), each) for each in parts]
        yield [_number(each) for each in parts]


def _number(text: str) -> object:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else text


def _command(text: str) -> list[object]:
    """Return the words of a command; `sh -c` and the command if it needs a shell."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    return ["sh", "-c", text] if _SHELL.search(text) or not words else [*words]


def _of_a_list(value: list[Any]) -> Iterator[Proposal]:
    if len(value) == 1:
        (only,) = value
        if isinstance(only, Mapping):
            yield Proposal(only, "remove the `- ` before its first key")
        elif isinstance(only, str | bool) or _short(only):
            yield Proposal(only, "write one value, not a list", ": ")
            for each in _scalars(only):
                yield Proposal(each.value, "write one value, not a list", ": ")
    if value and all(isinstance(each, str) for each in value):
        pairs = [re.split(r"\s*[=:]\s*", each, maxsplit=1) for each in value]
        if all(len(pair) == 2 for pair in pairs):
            yield Proposal(dict(pairs), "write each entry as `name: value`, without a hyphen")
    elif len(value) > 1 and all(isinstance(each, Mapping) for each in value):
        merged = {key: entry for each in value for key, entry in each.items()}
        if len(merged) == sum(map(len, value)):
            yield Proposal(merged, "remove the `- ` before its keys")
