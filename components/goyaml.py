"""Reads and writes YAML as Pulumi does, whose parser (go-yaml 3) mostly follows YAML 1.2.

PyYAML follows YAML 1.1: it reads `yes` as true and `1:20` as 80, which are text to Pulumi, and
`1e3` and `0o17` as text, which are numbers to Pulumi. This module returns the value that Pulumi
gives the program, or one of a type that no key accepts.
"""

import math
import re
from typing import Any

import yaml

_TAG = "tag:yaml.org,2002:"
_WORDS: dict[str, object] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_INTEGER = re.compile(
    r"[-+]?(0[xX](?P<x>[0-9a-fA-F]+)|0[bB](?P<b>[01]+)|0[oO]?(?P<o>[0-7]+)|0|[1-9][0-9]*)"
)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?", re.DOTALL)
_LARGEST, _SMALLEST = 2**64 - 1, -(2**63)
_WRITTEN_OUT = 1e21  # Go's JSON writes an exponent from here on

UNREADABLE = (
    *(yaml.YAMLError, ValueError, RecursionError),
    # PyYAML's, for a wrong value after a tag, as in `!!bool x`.
    *(LookupError, AttributeError, TypeError),
)
"""What `load` and `compose` raise for a text that is not valid YAML."""


class Date:
    """A date or time, which Pulumi rewrites as text in another form."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        """Return the text in the file."""
        return self._text

    __str__ = __repr__


def scalar(text: str) -> object:
    """Return the value that Pulumi gives the program for a scalar without quotes and tag."""
    if text in _WORDS:
        return _WORDS[text]
    if not text[:1].isascii() or text[:1] not in "+-.0123456789":
        return text
    if _DATE.fullmatch(text):
        return Date(text)
    # go-yaml accepts no underscores after a leading point.
    plain = text if text.startswith(".") else text.replace("_", "")
    found = _INTEGER.fullmatch(plain)
    if found is not None and len(plain) < 100:
        number = _integer(plain, found)
        if _SMALLEST <= number <= _LARGEST:
            return number
    if _FLOAT.fullmatch(plain) and math.isfinite(float(plain)):
        return _as_json(float(plain))
    return text


def _integer(plain: str, found: re.Match[str]) -> int:
    for group, base in (("x", 16), ("b", 2), ("o", 8)):
        if found[group]:
            return int(found[group], base) * (-1 if plain.startswith("-") else 1)
    return int(plain)


def _as_json(number: float) -> int | float:
    """Return a number as the program gets it: as JSON, without a needless `.0`."""
    return int(number) if abs(number) < _WRITTEN_OUT and number.is_integer() else number


class Loader(yaml.SafeLoader):
    """PyYAML's parser with Pulumi's rules for scalars and for tabs."""

    def scan_to_next_token(self) -> None:
        """Skip blanks and comments, and also tabs where no key can begin."""
        super().scan_to_next_token()
        while self.peek() == "\t" and (self.flow_level or not self.allow_simple_key):
            while self.peek() in " \t":
                self.forward()
            super().scan_to_next_token()

    def scan_plain_spaces(self, indent: Any, start_mark: Any) -> Any:
        """Take the blanks within a value without quotes, and also tabs."""
        length = 0
        while self.peek(length) in " \t":
            length += 1
        blanks = self.prefix(length)
        if "\t" not in blanks or self.peek(length) in "\0\r\n\x85\u2028\u2029#":
            return super().scan_plain_spaces(indent, start_mark)
        self.forward(length)
        return [blanks]

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        """Return the tag of a node without an explicit one."""
        if kind is not yaml.ScalarNode:
            return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]
        if not implicit[0]:
            return f"{_TAG}str"
        if value == "<<":
            return f"{_TAG}merge"
        return _TAG + _KINDS[type(scalar(value))]


_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    Date: "timestamp",
}


def _constructed(loader: Loader, node: yaml.ScalarNode) -> object:
    """Return the value of a node; its tag may be explicit."""
    value = scalar(loader.construct_scalar(node))
    kind = "float" if isinstance(value, int) and node.tag == f"{_TAG}float" else None
    if node.tag != _TAG + (kind or _KINDS[type(value)]) or isinstance(value, str):
        raise yaml.constructor.ConstructorError(
            None, None, "a value does not fit its tag", node.start_mark
        )
    return value


for _kind in ("null", "bool", "int", "float", "timestamp"):
    Loader.add_constructor(_TAG + _kind, _constructed)


def load(text: str) -> Any:
    """Return the content of a document.

    Raises:
        UNREADABLE: One of these, if it is not valid YAML.
    """
    return yaml.load(text, Loader)  # noqa: S506 - a SafeLoader


def compose(text: str) -> yaml.Node | None:
    """Return the nodes of a document; raises the same errors as `load`."""
    node: yaml.Node | None = yaml.compose(text, Loader)
    return node


class _Dumper(yaml.SafeDumper):
    """PyYAML's writer, with quotes around text that Pulumi would read as something else."""


def _quoted(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = None if isinstance(scalar(text), str) else '"'
    return dumper.represent_scalar(f"{_TAG}str", text, style=style)


def _as_written(dumper: _Dumper, date: Date) -> yaml.ScalarNode:
    return dumper.represent_scalar(f"{_TAG}timestamp", str(date))


_Dumper.add_representer(str, _quoted)
_Dumper.add_representer(Date, _as_written)


def dump(document: object) -> str:
    """Return a document as YAML that `load`, and so Pulumi, reads back as the same values."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False)
