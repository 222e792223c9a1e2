"""A small valid config, and functions that change it, for tests of what the config refuses."""

import copy
from typing import Any

import pytest

from components.config.loading import ConfigError, parse

BASE: dict[str, Any] = {
    "farm": {"vms": 2, "image": "/images/debian.qcow2"},
    "services": {"app": {"image": "app:1", "hosts": ["a.example.org"], "port": 80}},
}
APP, AT = "services/app", "services.app"
HTTP = f"{APP}/http"
BRIDGE = {"bridge": "br0", "gateway": "192.0.2.1"}


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the config with a value at a path such as ``farm/vms``; ``...`` removes the key."""
    raw = copy.deepcopy(BASE)
    *parents, last = path.split("/")
    place = raw
    for parent in parents:
        place = place.setdefault(parent, {})
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return raw


def another(**changes: Any) -> dict[str, Any]:
    """Return a second service."""
    return {"image": "b:1", "hosts": ["b.example.org"], "port": 80, **changes}


def tcp(**changes: Any) -> dict[str, Any]:
    """Return a TCP service."""
    return {"image": "b:1", "port": 80, "tcp": {"port": 5432}, **changes}


def problems(raw: dict[str, Any]) -> tuple[str, ...]:
    """Return the errors of a config; none if it is valid."""
    try:
        parse(raw)
    except ConfigError as error:
        return error.problems
    return ()


Mistake = tuple[str, Any, str]
"""A path, a wrong value, and the error that an operator gets for it."""


def assert_refused(mistake: Mistake) -> None:
    """Check that a mistake has its error, and that no error shows the secret ``hunter2``."""
    path, value, message = mistake
    raw = changed(path, value)
    if path == f"{APP}/secret_env" and "PATH" in value:
        raw["services"]["app"]["env"] = {"PATH": "/bin"}
    with pytest.raises(ConfigError) as error:
        parse(raw)
    assert message in error.value.problems
    assert "hunter2" not in str(error.value)
