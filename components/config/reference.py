"""The config reference and the schema for editors, both generated from the models.

``python -m components.config.reference`` writes them; a test checks that they are up to date.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components.config.models.stack import Stack
from components.config.units import DURATION, SIZE, format_duration, format_size

SCHEMA = Path("Pulumi.schema.json")
MARKDOWN = Path("docs/config.md")

_HEAD = """# The config

Every key of a stack file such as `Pulumi.prod.yaml`. `make reference` generates this page from the
models. In the file, the first part of a key has the prefix `gatehouse:`, and
`pulumi config set --path gatehouse:farm.vms 3` sets one value.

Sizes are `512MiB`, `2GiB` or `1TiB`, durations `30s`, `10m` or `1h30m`. A key that is not listed is
an error, as is a value of another type. `make check-config FILE=Pulumi.prod.yaml` lists all wrong
keys and values, and once there are none, all contradictions between keys. It changes nothing.

Set secret values with `pulumi config set --secret --path`. Only the keys below that say so accept
them, and the check refuses plain text there. Values are as Pulumi reads them: `yes` and `1:20` are
text, and a date needs quotes.
"""


def schema() -> dict[str, Any]:
    """Return the JSON schema of a stack file."""
    made = Stack.model_json_schema()
    definitions = {name: _for_files(part) for name, part in made["$defs"].items()}
    stack = _for_files({key: value for key, value in made.items() if key != "$defs"})
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A Gatehouse stack file",
        "type": "object",
        "required": ["config"],
        "properties": {
            "config": {
                "type": "object",
                "required": [f"gatehouse:{key}" for key in stack["required"]],
                "properties": {
                    f"gatehouse:{key}": value for key, value in stack["properties"].items()
                },
                "patternProperties": {f"^gatehouse:(?!({'|'.join(stack['properties'])})$)": False},
            }
        },
        "$defs": definitions,
    }


def _for_files(part: Any) -> Any:
    """Turn pydantic's schema of Python values into the schema of a file's values."""
    if isinstance(part, list):
        return [_for_files(each) for each in part]
    if not isinstance(part, dict):
        return part
    if part.get("secret"):
        secure = {
            "type": "object",
            "required": ["secure"],
            "properties": {"secure": {"type": "string"}},
            "additionalProperties": False,
        }
        kept = {key: part[key] for key in ("description", "examples") if key in part}
        return {**kept, "anyOf": [{"type": "string"}, secure]}
    made = {key: _for_files(value) for key, value in part.items() if key != "title"}
    if "patternProperties" in made:
        made["additionalProperties"] = False
    if "default" in made:
        shown = _default(made)
        if shown is None:
            del made["default"]
        else:
            made["default"] = shown
    return made


def _default(part: Mapping[str, Any]) -> Any:
    default = part["default"]
    formats = {f"^(?:{SIZE})$": format_size, f"^(?:{DURATION})$": format_duration}
    if part.get("pattern") in formats:
        return formats[part["pattern"]](default) if isinstance(default, int) else default
    return None if isinstance(default, dict | list) else default


def markdown() -> str:
    """Return the reference: a table for each model, in the order in which keys nest."""
    whole = schema()
    properties = whole["properties"]["config"]["properties"]
    required = whole["properties"]["config"]["required"]
    sections = []
    for key, part in properties.items():
        path = key.removeprefix("gatehouse:")
        need = "Required." if key in required else "Optional."
        sections.append(f"\n## `{path}`\n\n{part['description']} {need}\n")
        sections.extend(_tables(path, part, whole["$defs"], top=True))
    return _HEAD + "".join(sections)


def _tables(
    path: str, part: Mapping[str, Any], models: Mapping[str, Any], *, top: bool = False
) -> Iterator[str]:
    inner, model = _model(path, part, models)
    if model is None:
        return
    if not top:
        yield f"\n### `{inner}`\n\n{_one_line(model['description'])}\n"
    elif inner != path:
        yield f"\nEach one, `{inner}`: {_one_line(model['description'])}\n"
    yield "\n| key | type | default | meaning | example |\n| --- | --- | --- | --- | --- |\n"
    for key, field in model["properties"].items():
        yield _row(key, field, key in model.get("required", ()), models)
    for key, field in model["properties"].items():
        yield from _tables(f"{inner}.{key}", field, models)


def _row(key: str, field: Mapping[str, Any], needed: bool, models: Mapping[str, Any]) -> str:
    if needed:
        default = "required"
    else:
        default = f"`{json.dumps(field['default'])}`" if "default" in field else ""
    example = json.dumps(field["examples"][0], ensure_ascii=False) if "examples" in field else ""
    cells = (f"`{key}`", _type(field, models), default, field["description"], f"`{example}`")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _model(
    path: str, part: Mapping[str, Any], models: Mapping[str, Any]
) -> tuple[str, Mapping[str, Any] | None]:
    """Return the model that a key holds, and the path of one instance; None if it holds none."""
    if "$ref" in part:
        return path, models[part["$ref"].rpartition("/")[2]]
    options = [each for each in part.get("anyOf", ()) if each.get("type") != "null"]
    if len(options) == 1:
        return _model(path, options[0], models)
    if part.get("type") == "array":
        return _model(f"{path}[]", part["items"], models)
    for value in part.get("patternProperties", {}).values():
        return _model(f"{path}.<name>", value, models)
    for choice in part.get("anyOf", ()):
        if "$ref" in choice:
            return _model(path, choice, models)
    return path, None


def _type(part: Mapping[str, Any], models: Mapping[str, Any]) -> str:
    inner, model = _model("", part, models)
    if {"type": "boolean"} in part.get("anyOf", ()) and model is not None:
        return "true, or keys, see below"
    if model is not None:
        return {"": "keys, see below", "[]": "list, see below"}.get(inner, "map, see below")
    if "anyOf" in part:
        kinds = [_type(each, models) for each in part["anyOf"] if each.get("type") != "null"]
        return "secret text" if "a map" in kinds else " or ".join(dict.fromkeys(kinds))
    if "const" in part:
        return f"`{json.dumps(part['const'])}`"
    if "enum" in part:
        return " or ".join(f"`{each}`" for each in part["enum"])
    pattern = part.get("pattern")
    if pattern == f"^(?:{SIZE})$":
        return "size"
    if pattern == f"^(?:{DURATION})$":
        return "duration"
    if part.get("type") == "array":
        return f"list of {_type(part['items'], models)}"
    if part.get("type") == "object":
        for values in part.get("patternProperties", {}).values():
            return f"map to {_type(values, models)}"
        return "a map"
    return _scalar(part)


def _scalar(part: Mapping[str, Any]) -> str:
    kind = {"integer": "whole number", "number": "number", "boolean": "true or false"}.get(
        str(part.get("type")), "text"
    )
    lowest, highest = part.get("minimum"), part.get("maximum")
    if lowest is not None and highest is not None:
        return f"{kind}, {lowest} to {highest}"
    return f"{kind}, {lowest} or more" if lowest is not None else kind


def _one_line(text: str) -> str:
    return " ".join(text.split())


def main() -> None:
    """Write both files, below the current folder."""
    SCHEMA.write_text(json.dumps(schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    MARKDOWN.write_text(markdown(), encoding="utf-8")


if __name__ == "__main__":
    main()
