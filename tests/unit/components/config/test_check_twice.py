"""`make check-config` names a key that is given twice; Pulumi only names its line."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components.config.check import raw_config
from components.config.loading import ConfigError, parse


def problems_of(text: str) -> tuple[str, ...]:
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
        ("config:\n  gatehouse:a: {}\n  a: {}", "a", "2 and 3", "a"),
        ("config:\n  a: {}\n  gatehouse:config:a: {}", "a", "2 and 3", "gatehouse:config:a"),
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
    assert problems_of(text) == (
        f"{path}: is given twice, in lines {lines}; remove one of them (got {key})",
    )


def test_each_of_several_is_told_and_no_value_is() -> None:
    text = (
        "config:\n  gatehouse:a: {x: hunter2, x: 1, y: {z: 1, z: 2}}\n  gatehouse:b: {c: 1, c: 2}"
    )
    problems = problems_of(text)
    assert [each.partition(":")[0] for each in problems] == ["a.x", "a.y.z", "b.c"]
    assert "hunter2" not in str(problems)


def test_anchors_and_what_overrides_them_are_not_given_twice() -> None:
    text = (
        "config:\n  gatehouse:a: &a {x: 1}\n  gatehouse:b: {<<: *a, x: 2}\n  gatehouse:c: [*a, *a]"
    )
    assert problems_of(text) == ()
    assert raw_config("config:\n  gatehouse:a: {x: 1, y: {x: 1}}") == {"a": {"x": 1, "y": {"x": 1}}}


_KEYS = st.sampled_from(["a", "b", "1", "true", "x y", "é"])
_VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=9,
)


@given(st.dictionaries(_KEYS.map(lambda key: f"gatehouse:{key}"), _VALUES, min_size=1))
def test_what_python_writes_has_nothing_twice(config: dict[str, object]) -> None:
    assert problems_of(yaml.safe_dump({"config": config})) == ()


def test_aliases_that_stand_for_too_much_are_refused_at_once() -> None:
    lines = [
        "a0: &a0 [x]",
        *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)),
    ]
    (problem,) = problems_of("\n".join(lines))
    assert problem.endswith("its aliases stand for more than 1000000 values")
    (problem,) = problems_of("config: &c\n  gatehouse:farm: *c\n")
    assert problem.endswith("the alias in line 1 contains itself")


@pytest.mark.parametrize(
    "value",
    ['"hunter2', "@hunter2", "*hunter2", "!hunter2 x", "%hunter2", "&hunter2 x\n  b: &hunter2 x"]
    + [f"!!{tag} hunter2" for tag in ("bool", "int", "float", "timestamp", "binary", "map", "set")],
)
def test_what_yaml_cannot_read_is_told_by_its_place_and_not_shown(value: str) -> None:
    (problem,) = problems_of(f"config:\n  password: {value}\n")
    assert problem.startswith("config: the file is not valid YAML: ")
    assert "hunter2" not in problem


def test_a_tab_is_named() -> None:
    (problem,) = problems_of("config:\n\tgatehouse:farm: {vms: 2}\n")
    assert problem.endswith("found a tab instead of spaces in line 2, column 1")


def test_a_key_that_is_no_text_is_told_as_it_was_written() -> None:
    service = "image: a, hosts: [a.example.org], port: 1, env"
    text = (
        "config:\n  gatehouse:farm: {vms: 1, image: /a}\n  gatehouse:services: {a: {%s: {%s: x}}}"
    )
    for key, path in (("~", "null"), ("2020-01-01", "2020-01-01"), ("false", "false")):
        with pytest.raises(ConfigError) as error:
            parse(raw_config(text % (service, key)))
        (problem,) = error.value.problems
        assert problem.startswith(f"services.a.env.{path}: must be text")
