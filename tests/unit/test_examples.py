"""The examples of the reference are right: each as a value of its key, and in a whole config."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, create_model
from pydantic.fields import FieldInfo

from components.config.check import raw_config
from components.config.loading import model_in, parse
from components.config.models.base import Model
from components.config.models.stack import Stack
from tests.support.configs import BASE
from tests.support.hostile import HOST_KEY


def _fields(model: type[BaseModel], path: str) -> Iterator[tuple[str, FieldInfo]]:
    for key, field in model.model_fields.items():
        yield f"{path}{key}", field
        inner = model_in(field.annotation)
        if inner is not None:
            in_list = isinstance((field.examples or [None])[0], list)
            yield from _fields(inner, f"{path}{key}{'[].' if in_list else '.'}")


FIELDS = dict(_fields(Stack, ""))
EXAMPLES = [
    pytest.param(path, example, id=f"{path} {number}")
    for path, field in FIELDS.items()
    for number, example in enumerate(field.examples or ())
]

BRIDGE = {"bridge": "br0", "gateway": "192.0.2.1", "addresses": ["192.0.2.10/24", "192.0.2.11/24"]}
NEEDS: dict[str, Any] = {
    "farm.network.bridge": {"farm.network": BRIDGE},
    "farm.network.addresses": {"farm.network": BRIDGE},
    "farm.network.gateway": {"farm.network": BRIDGE},
    "farm.network.dns": {"farm.network": BRIDGE},
    "services.app.tcp": {"services.app": {"image": "db:1", "port": 5432, "tcp": {"port": 1}}},
    "services.app.strip_path": {"services.app.path": "/shop"},
    "services.app.http.rate_limit": {"services.app.http.rate_limit": {"requests": 1, "per": "1s"}},
    "edge.tls": {"edge.tls": {"self_signed": True}},
    "edge.tls.acme": {"edge.tls.acme": {"email": "ops@example.org"}},
    "edge.host": {"edge.host_key": HOST_KEY},
    "registries": {"registries.hub": {"username": "a", "password": "b"}},
}
"""What keys and those below them cannot do without."""


def as_read(path: str, example: Any) -> Any:
    """Return an example as `make check-config` has it: with something in the place of secrets."""
    *_, key = path.split(".")
    text = json.dumps({"config": {"gatehouse:x": {key: example}}})
    return raw_config(text)["x"][key]


@pytest.mark.parametrize(("path", "example"), EXAMPLES)
def test_an_example_is_a_value_of_its_key(path: str, example: Any) -> None:
    field = FIELDS[path]
    value: Any = (field.annotation, field)
    one = create_model("One", __base__=Model, value=value)
    one.model_validate({"value": as_read(path, example)})


@pytest.mark.parametrize(
    ("path", "example"), [each for each in EXAMPLES if "[]" not in str(each.values[0])]
)
def test_an_example_goes_into_a_config(path: str, example: Any) -> None:
    path = path.replace("services.", "services.app.").replace("registries.", "registries.hub.")
    raw = copy.deepcopy(BASE)
    for needing, values in NEEDS.items():
        if path == needing or path.startswith(f"{needing}."):
            for where, value in values.items():
                _put(raw, where, copy.deepcopy(value))
    _put(raw, path, as_read(path, example))
    parse(raw)


def _put(raw: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    place = raw
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = value


def test_there_are_many() -> None:
    assert len(EXAMPLES) > 100
    assert any(path == "farm.ssh_from" for path in FIELDS)
