"""Checks stack files without touching anything: ``python -m components.config.check FILE...``.

Whether a file fits the machine (its memory, its networks, whether the image is there) is left to a
preview, because the file may be for another machine.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from components import goyaml, secure, stackfile
from components.config.checks.text import part
from components.config.loading import ConfigError, parse

_QUOTED = re.compile(r"'[^']{2,}'|\"[^\"]{2,}\"")
_TAB = r"character '\t' that cannot start any token"
_MOST_VALUES = 1_000_000
"""The most values of a file with its aliases expanded. Ten nested aliases of ten entries would take
hours to read; Pulumi refuses them."""
_STAND_INS = {"basic_auth": f"$6$encrypted${'.' * 86}"}
"""Stand-ins for encrypted secrets that must have a certain form, by the key above them."""


def raw_config(text: str) -> dict[str, Any]:
    """Return the ``gatehouse:`` keys of a stack file, with stand-ins for encrypted values.

    Raises:
        ConfigError: It is not a stack file.
    """
    return {name: _without_secrets(value) for name, value in stackfile.own(_config(text)).items()}


def _config(text: str) -> dict[Any, Any]:
    """Return the map below ``config``, or raise ``ConfigError``."""
    whole = document(text)
    misplaced = tuple(stackfile.misplaced(whole))
    if misplaced:
        raise ConfigError(misplaced)
    config = whole.get("config") if isinstance(whole, dict) else None
    if not isinstance(config, dict):
        raise ConfigError(
            ["config: is required, with the keys gatehouse:farm and gatehouse:services"]
        )
    problems = tuple(secure.lost(config))
    if problems:
        raise ConfigError(problems)
    return config


def document(text: str) -> object:
    """Return the content of a stack file as Pulumi reads it.

    Raises:
        ConfigError: Pulumi would refuse it: it is not YAML, or has a key twice.
    """
    try:
        node = goyaml.compose(text)
        twice = tuple(_given_twice(node))
        _not_too_many(node)
        content: object = goyaml.load(text)
    except goyaml.UNREADABLE as error:
        raise ConfigError([f"config: the file is not valid YAML: {_reason(error)}"]) from None
    if twice:
        raise ConfigError(twice)
    return content


def problems(text: str) -> tuple[str, ...]:
    """Return all problems of a stack file, as ``path: what is wrong; what to do``.

    Secrets in plain text are wrong only in a file: the program gets all values decrypted.
    """
    try:
        plain = tuple(secure.in_plain(_config(text)))
    except ConfigError as error:
        return error.problems
    try:
        parse(raw_config(text))
    except ConfigError as error:
        # `pulumi config set` turns its argument into text, so no quotes are needed there.
        hidden = {each.partition(": ")[0] for each in plain}
        return (
            *(
                each
                for each in error.problems
                if not (each.partition(": ")[0] in hidden and ": must be text; put it in" in each)
            ),
            *plain,
        )
    return plain


def _reason(error: Exception) -> str:
    """Return why and where YAML cannot be read, without the text there: it may be a secret."""
    if isinstance(error, LookupError | AttributeError | TypeError):
        return "a value does not fit its tag"
    text = str(error)
    if isinstance(error, yaml.MarkedYAMLError):
        parts = (error.context, error.context_mark, error.problem, error.problem_mark)
        text = " ".join(
            f"in line {each.line + 1}, column {each.column + 1}"
            if isinstance(each, yaml.Mark)
            else each
            for each in parts
            if each
        )
    text = text.replace(_TAB, "a tab instead of spaces")
    return " ".join(_QUOTED.sub("…", text).split())


def _not_too_many(node: yaml.Node | None) -> None:
    if _written_out(node, {}) > _MOST_VALUES:
        raise ValueError(f"its aliases stand for more than {_MOST_VALUES} values")


def _written_out(node: yaml.Node | None, known: dict[int, int]) -> int:
    """Return the number of values and keys in a node, with each alias expanded.

    Args:
        node: The node.
        known: The counts so far, by the nodes' identity.

    Raises:
        ValueError: An alias contains itself.
    """
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if id(node) not in known:
        known[id(node)] = 0
        parts = node.value
        if isinstance(node, yaml.MappingNode):
            parts = [each for pair in parts for each in pair]
        known[id(node)] = 1 + sum(_written_out(each, known) for each in parts)
    elif known[id(node)] == 0:
        raise ValueError(f"the alias in line {node.start_mark.line + 1} contains itself")
    return known[id(node)]


def _given_twice(node: yaml.Node | None) -> Iterator[str]:
    """Yield the keys that a map has twice, by their paths.

    Pulumi reports only the line, and Python's parser silently takes the last one. Like Pulumi's
    parser, this compares keys as they are written, and allows one ``<<``. `farm` and
    `gatehouse:farm` are the same key; if a file has both, Pulumi may take either.
    """
    todo: list[tuple[str, yaml.Node | None]] = [("", node)]
    seen: set[int] = set()  # an alias is its anchor's node, and may hold itself
    while todo:
        path, each = todo.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        inside: list[tuple[str, yaml.Node]] = []
        if isinstance(each, yaml.SequenceNode):
            inside = [(_below(path, str(index)), item) for index, item in enumerate(each.value)]
        elif isinstance(each, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in each.value:
                if not isinstance(key, yaml.ScalarNode):
                    continue
                here, line = _below(path, key.value), key.start_mark.line + 1
                name = stackfile.with_prefix(key.value) if path == "config" else key.value
                if name in lines:
                    yield (
                        f"{here}: is given twice, in lines {lines[name]} and {line};"
                        f" remove one of them (got {part(key.value)})"
                    )
                lines.setdefault(name, line)
                inside.append((here, value))
        todo += reversed(inside)


def _below(path: str, key: str) -> str:
    """Return the path of a key as all errors show it: those of Gatehouse begin below ``config``."""
    name = stackfile.own_name(key) if path == "config" else None
    if name is not None:
        return part(name)
    return f"{path}.{part(key)}" if path else part(key)


def _without_secrets(value: Any, stand_in: str = "encrypted") -> Any:
    if isinstance(value, dict):
        if secure.is_secure(value):
            return stand_in
        return {
            key: _without_secrets(each, _STAND_INS.get(key, stand_in))
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [_without_secrets(each, stand_in) for each in value]
    return value


def main(arguments: list[str]) -> int:
    """Check each file; return 0 if all are valid, else print their errors and return 1."""
    parser = argparse.ArgumentParser("python3 -m components.config.check", allow_abbrev=False)
    parser.add_argument("paths", nargs="+", metavar="FILE", help="such as Pulumi.prod.yaml")
    wrong = 0
    for path in parser.parse_args(arguments).paths:
        try:
            found = problems(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            wrong += 1
            print(f"{path}: cannot be read: {_unread(error)}")
            continue
        wrong += bool(found)
        print(f"{path}:{'' if found else ' valid'}")
        for problem in found:
            print(f"  {problem}")
    return 1 if wrong else 0


def _unread(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"it is not text in UTF-8; byte {error.start + 1} is invalid"
    if isinstance(error, FileNotFoundError):
        return "there is no such file; name a stack file, such as FILE=Pulumi.prod.yaml"
    if isinstance(error, IsADirectoryError):
        return "it is a folder; name a stack file in it, such as FILE=Pulumi.prod.yaml"
    return str(error.strerror)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
