"""The values that the lab reads from a stack file, and copies of it with other values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.scalarstring import DoubleQuotedScalarString
from ruamel.yaml.tag import Tag

from components import goyaml
from components.config import check
from components.config.loading import ConfigError
from components.stackfile import own

_SERVICES = "services"


class StackFileError(Exception):
    """The file cannot be read or changed as asked; the text starts with the path of the key."""


def hosts(path: Path) -> list[str]:
    """Return the domains of all services, in the file's order, for the lab's hosts file.

    Values that are missing or of a wrong type are left out: the program reports them.
    """
    services = own(_config(_read(path), path)).get(_SERVICES)
    given = [
        host
        for service in (services.values() if isinstance(services, dict) else ())
        if isinstance(service, dict) and isinstance(service.get("hosts"), list)
        for host in service["hosts"]
        if isinstance(host, str)
    ]
    return list(dict.fromkeys(given))


def image(path: Path) -> str | None:
    """Return the VMs' disk image; None if the file has none, which the program reports."""
    farm = own(_config(_read(path), path)).get("farm")
    found = farm.get("image") if isinstance(farm, dict) else None
    return found if isinstance(found, str) else None


def counts(
    path: Path, *, vms: int | None = None, service: str | None = None, replicas: int | None = None
) -> dict[str, int]:
    """Return the counts that `make scale` sets, by path, as in ``services.hello.replicas``.

    Raises:
        StackFileError: Nothing to set was given, or the service does not exist.
    """
    if (service is None) != (replicas is None):
        raise StackFileError("scale: SERVICE and REPLICAS go together: SERVICE=hello REPLICAS=5")
    found = {}
    if vms is not None:
        found["farm.vms"] = vms
    if service is not None and replicas is not None:
        services = own(_config(_read(path), path)).get(_SERVICES, {})
        if service not in services:
            known = ", ".join(services)
            raise StackFileError(f"services.{service}: is not in {path.name}; it has {known}")
        found[f"services.{service}.replicas"] = replicas
    if not found:
        raise StackFileError("scale: nothing to do: give VMS=3, or SERVICE=hello REPLICAS=5")
    return found


def keep(place: Path, path: Path, values: Mapping[str, int]) -> None:
    """Save counts by path, each with the value that the config file has there now."""
    config = _config(_read(path), path)
    noted = {key: {"value": value, "file": _at(config, key)} for key, value in values.items()}
    # A date is not valid JSON; the program reports it as an error.
    place.write_text(json.dumps(noted, default=str), encoding="utf-8")


def kept(place: Path, path: Path) -> dict[str, int]:
    """Return the saved counts, except where the config file has changed since."""
    try:
        noted = json.loads(place.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    config = _config(_read(path), path)
    return {key: each["value"] for key, each in noted.items() if _at(config, key) == each["file"]}


def _at(config: Any, path: str) -> Any:
    first, *rest = path.split(".")
    place = own(config).get(first)
    for each in rest:
        place = place.get(each) if isinstance(place, dict) else None
    return place


def set_in_copy(source: Path, target: Path, values: Mapping[str, Any]) -> None:
    """Write a copy of a stack file with other values, by their path, as in ``farm.domain_type``.

    Pulumi reads all other values as in the source. Where a parent of a path is not a map, nothing
    is set: the program reports it.
    """
    text = _text(source)
    _config(_document(text, source), source)
    document = _yaml().load(text)
    config = document["config"]
    for path, value in values.items():
        first, *between, last = path.split(".")
        place = own(config).get(first)
        for each in between:
            place = place.get(each) if isinstance(place, dict) else None
        if isinstance(place, dict):
            place[last] = _as_written(value)
    # Only for its owner: a lab's config has its secrets in plain text.
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with target.open("w", encoding="utf-8") as file:
        _yaml().dump(document, file)


def _config(document: Any, path: Path) -> Any:
    config = document.get("config") if isinstance(document, dict) else None
    if not isinstance(config, dict):
        raise StackFileError(f"{path}: config: must be a map of keys")
    return config


def _read(path: Path) -> object:
    return _document(_text(path), path)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise StackFileError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise StackFileError(f"{path}: cannot be read: {error}") from None


def _document(text: str, path: Path) -> object:
    try:
        return check.document(text)
    except ConfigError as error:
        raise StackFileError("\n".join(f"{path}: {each}" for each in error.problems)) from None


class _Unresolved(VersionedResolver):
    """ruamel's resolver, without its rules for numbers, words and dates.

    A value without quotes is read as text and written back unchanged, so Pulumi reads the same
    value: ruamel would write `-0755`, an octal number, as `-755`.
    """

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """Return the tag of a node that has none."""
        if kind is ScalarNode and value not in ("", "<<"):
            return Tag(suffix="tag:yaml.org,2002:str")
        return super().resolve(kind, value, implicit)


def _as_written(value: Any) -> Any:
    """Return a value in the form that `_yaml` writes without a tag."""
    if isinstance(value, Mapping):
        return {key: _as_written(each) for key, each in value.items()}
    if isinstance(value, str):
        plain = isinstance(goyaml.scalar(value), str)
        return value if plain else DoubleQuotedScalarString(value)
    return json.dumps(value)


def _yaml() -> YAML:
    yaml = YAML()
    yaml.Resolver = _Unresolved
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml
