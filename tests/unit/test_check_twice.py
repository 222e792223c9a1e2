"""A key that is given twice is told by `make check-config`: Pulumi refuses it by its line alone."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components.check import raw_config
from components.config import ConfigError


def told(text: str) -> tuple[str, ...]:
    try:
        raw_config(text)
    except ConfigError as error:
        return error.problems
    return ()


@pytest.mark.parametrize(
    ("text", "path", "lines", "key"),
    [
        ("config:\n  gatehouse:a:\n    vms: 1\n    x: a\n    vms: 2", "a.vms", "3 and 5", "vms"),
        ("config:\n  gatehouse:a: {}\n  gatehouse:a: {}", "a", "2 and 3", "gatehouse:a"),
        ("config:\n  gatehouse:a: 1\nconfig: {}", "config", "1 and 3", "config"),
        ("config:\n  aws:region: a\n  aws:region: b", "config.aws:region", "2 and 3", "aws:region"),
        (
            "config:\n  gatehouse:services:\n    a:\n      volumes:\n      - {name: x, name: y}",
            "services.a.volumes.0.name",
            "5 and 5",
            "name",
        ),
        ('config:\n  gatehouse:a:\n    1: x\n    "1": y', "a.1", "3 and 4", "1"),
        ("config:\n  gatehouse:a:\n    <<: {x: 1}\n    <<: {y: 1}", 'a."<<"', "3 and 4", '"<<"'),
    ],
)  # fmt: skip
def test_a_key_that_is_given_twice_is_told_by_its_path(
    text: str, path: str, lines: str, key: str
) -> None:
    assert told(text) == (
        f"{path}: is given twice, in lines {lines}; remove one of them (got {key})",
    )


def test_each_of_several_is_told_and_no_value_is() -> None:
    text = (
        "config:\n  gatehouse:a: {x: hunter2, x: 1, y: {z: 1, z: 2}}\n  gatehouse:b: {c: 1, c: 2}"
    )
    problems = told(text)
    assert [each.partition(":")[0] for each in problems] == ["a.x", "a.y.z", "b.c"]
    assert "hunter2" not in str(problems)


def test_anchors_and_what_overrides_them_are_not_given_twice() -> None:
    text = (
        "config:\n  gatehouse:a: &a {x: 1}\n  gatehouse:b: {<<: *a, x: 2}\n  gatehouse:c: [*a, *a]"
    )
    assert told(text) == ()
    assert raw_config("config:\n  gatehouse:a: {x: 1, y: {x: 1}}") == {"a": {"x": 1, "y": {"x": 1}}}


_KEYS = st.sampled_from(["a", "b", "1", "true", "x y", "é"])
_VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=9,
)


@given(st.dictionaries(_KEYS.map(lambda key: f"gatehouse:{key}"), _VALUES, min_size=1))
def test_what_python_writes_has_nothing_twice(config: dict[str, object]) -> None:
    assert told(yaml.safe_dump({"config": config})) == ()
