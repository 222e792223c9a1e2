"""Values of a stack file that Pulumi would change or expose, and secrets in plain text.

Pulumi gives the program all values in plain text. In the state, only the values of the keys for
secrets are encrypted: a secret at any other key would be in plain text there. And Pulumi rewrites
dates.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components import goyaml, stackfile
from components.config.checks.text import is_hash, part
from components.config.models.stack import Stack


def lost_in_file(path: Path) -> tuple[str, ...]:
    """Return the problems of a stack file; empty if the file is missing or unreadable."""
    try:
        document = goyaml.load(path.read_text(encoding="utf-8"))
    except (OSError, *goyaml.UNREADABLE):
        return ()
    config = document.get("config") if isinstance(document, dict) else None
    found = lost(config if isinstance(config, dict) else {})
    return (*stackfile.misplaced(document), *found)


def lost(config: Mapping[Any, Any]) -> Iterator[str]:
    """Yield a problem for each date, and for each secret at a key that is not for secrets.

    Args:
        config: The part of a stack file below ``config``.
    """
    schema = Stack.model_json_schema()
    for name, value in stackfile.own(config).items():
        yield from _below(schema, _inside(schema, schema, name), (name,), value)


def in_plain(config: Mapping[Any, Any]) -> Iterator[str]:
    """Yield a problem for each secret that is in plain text in the file.

    Args:
        config: The part of a stack file below ``config``.
    """
    schema = Stack.model_json_schema()
    for name, value in stackfile.own(config).items():
        for path in _secrets(schema, _inside(schema, schema, name), (name,), value):
            if any("=" in each or is_hash(each) for each in path):
                continue  # the key may be a secret; its own error hides it
            command = f"pulumi config set --secret --path {stackfile.pulumi_path(path)}"
            yield (
                f"{'.'.join(map(part, path))}: is in plain text in the file; set it with"
                f" `{command}`, which encrypts it (value hidden: it may be secret)"
            )


def _secrets(
    schema: Mapping[str, Any], nodes: list[Any], path: tuple[str, ...], value: object
) -> Iterator[tuple[str, ...]]:
    """Yield the paths of secrets in plain text, except empty ones."""
    if is_secure(value):
        return
    if isinstance(value, dict):
        for key, each in value.items():
            found = [node for parent in nodes for node in _inside(schema, parent, str(key))]
            yield from _secrets(schema, found, (*path, str(key)), each)
    elif value not in (None, "", []) and any(each.get("secret") for each in nodes):
        yield path


def is_secure(value: object) -> bool:
    """Whether Pulumi reads a value of a stack file as an encrypted one."""
    return isinstance(value, dict) and set(value) == {"secure"} and isinstance(value["secure"], str)


def _below(
    schema: Mapping[str, Any], nodes: list[Any], path: tuple[str, ...], value: object
) -> Iterator[str]:
    if is_secure(value):
        if nodes and not any(each.get("secret") for each in nodes):
            way_out = "set it without --secret"
            if path[0] == "services" and path[2:3] == ("env",):
                way_out = f"move it to services.{part(path[1])}.secret_env"
            yield (
                f"{'.'.join(map(part, path))}: would be in plain text in the state, because this"
                f" key is not for secrets; {way_out} (value hidden: it may be secret)"
            )
        return
    if isinstance(value, goyaml.Date):
        yield (
            f"{'.'.join(map(part, path))}: must be in quotes, or Pulumi writes the date in another"
            " way (got a date)"
        )
    inside = dict(enumerate(value)) if isinstance(value, list) else value
    for key, each in inside.items() if isinstance(inside, dict) else ():
        found = [node for parent in nodes for node in _inside(schema, parent, str(key))]
        yield from _below(schema, found, (*path, str(key)), each)


def _inside(schema: Mapping[str, Any], node: Any, key: str) -> list[Any]:
    """Return a JSON schema's nodes for a key of a map, or for an entry of a list."""
    properties = node.get("properties") or {}
    others = [
        node.get("items"),
        node.get("additionalProperties"),
        *(node.get("patternProperties") or {}).values(),
    ]
    found = [properties[key]] if key in properties else [each for each in others if each]
    return [each for one in found for each in _alternatives(schema, one)]


def _alternatives(schema: Mapping[str, Any], node: Any) -> Iterator[Any]:
    if not isinstance(node, dict):
        return
    if "$ref" in node:
        yield from _alternatives(schema, schema["$defs"][node["$ref"].rpartition("/")[2]])
    yield node
    for each in node.get("anyOf") or ():
        yield from _alternatives(schema, each)
