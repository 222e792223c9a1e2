"""A stack's config file: what the lab reads from it, and the edits of ``make scale``.

Edits keep the file's comments and layout, as ``pulumi config set --path`` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

_FARM = "gatehouse:farm"
_SERVICES = "gatehouse:services"


class StackFileError(Exception):
    """The file cannot be read or changed as asked; the text starts with the path of the key."""


def hosts(path: Path) -> list[str]:
    """Return all domains of all services, in the file's order, for the lab's hosts file.

    What is not there or not of the right form is left out: the program is what says so.
    """
    services = _config(_read(path), path).get(_SERVICES)
    given = [
        host
        for service in (services.values() if isinstance(services, dict) else ())
        if isinstance(service, dict) and isinstance(service.get("hosts"), list)
        for host in service["hosts"]
        if isinstance(host, str)
    ]
    return list(dict.fromkeys(given))


def image(path: Path) -> str | None:
    """Return the disk image of the VMs; None where the program will say that there is none."""
    farm = _config(_read(path), path).get(_FARM)
    found = farm.get("image") if isinstance(farm, dict) else None
    return found if isinstance(found, str) else None


def scale(
    path: Path, *, vms: int | None = None, service: str | None = None, replicas: int | None = None
) -> list[str]:
    """Set ``farm.vms`` and/or a service's ``replicas``, and return a line for each change.

    Raises:
        StackFileError: Nothing to set was given, or there is no such service.
    """
    if (service is None) != (replicas is None):
        raise StackFileError("scale: SERVICE and REPLICAS go together: SERVICE=hello REPLICAS=5")
    document = _read(path)
    config = _config(document, path)
    changes = []
    if vms is not None:
        changes.append(_set(config[_FARM], "farm.vms", "vms", vms))
    if service is not None:
        services = config.get(_SERVICES, {})
        if service not in services:
            known = ", ".join(services)
            raise StackFileError(f"services.{service}: is not in {path.name}; it has {known}")
        changes.append(
            _set(services[service], f"services.{service}.replicas", "replicas", replicas)
        )
    if not changes:
        raise StackFileError("scale: nothing to do: give VMS=3, or SERVICE=hello REPLICAS=5")
    with path.open("w", encoding="utf-8") as file:
        _yaml().dump(document, file)
    return changes


def set_in_copy(source: Path, target: Path, values: Mapping[str, Any]) -> None:
    """Write a copy of a stack file with other values, by their path, as in ``farm.domain_type``.

    Where something on the way is not a map, nothing is set: the program is what says so.
    """
    document = _read(source)
    config = _config(document, source)
    for path, value in values.items():
        first, *between, last = path.split(".")
        place = config.get(f"gatehouse:{first}")
        for each in between:
            place = place.get(each) if isinstance(place, dict) else None
        if isinstance(place, dict):
            place[last] = value
    # For its owner only: a lab's config has its secrets in plain text.
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with target.open("w", encoding="utf-8") as file:
        _yaml().dump(document, file)


def _set(place: Any, path: str, key: str, value: int | None) -> str:
    before = place.get(key, "unset")
    place[key] = value
    return f"{path}: {before} -> {value}"


def _config(document: Any, path: Path) -> Any:
    config = document.get("config") if isinstance(document, dict) else None
    if not isinstance(config, dict):
        raise StackFileError(f"{path}: config: must be a map of keys")
    return config


def _read(path: Path) -> Any:
    try:
        return _yaml().load(path)
    except OSError as error:
        raise StackFileError(f"{path}: cannot be read: {error.strerror}") from None


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml
