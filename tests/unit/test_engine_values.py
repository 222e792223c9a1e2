import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.engine.values import (
    UNKNOWN,
    Secret,
    canonical,
    contains,
    from_wire,
    get_path,
    has_secret,
    has_unknown,
    leaves,
    parse_path,
    plain,
    show_path,
    to_wire,
    with_path,
    with_secrets,
)

PATIENT = settings(deadline=None, max_examples=60)  # machines under load are slow at times
scalars = st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8)
values = st.recursive(
    scalars | st.just(UNKNOWN) | scalars.map(Secret),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=12,
)
steps = st.text(max_size=6) | st.integers(0, 30)


@PATIENT
@given(values)
def test_a_value_survives_the_wire_and_json(value: object) -> None:
    assert repr(from_wire(json.loads(json.dumps(to_wire(value))))) == repr(
        from_wire(to_wire(value))
    )
    assert to_wire(from_wire(to_wire(value))) == to_wire(value)


@PATIENT
@given(st.lists(steps, min_size=1, max_size=4).filter(lambda path: isinstance(path[0], str)))
def test_a_path_can_be_shown_and_read_back(path: list[str | int]) -> None:
    if any(isinstance(step, str) and ("*" in step) for step in path):
        return
    assert parse_path(show_path(tuple(path))) == tuple(path)


@PATIENT
@given(values)
def test_leaves_are_where_their_paths_say(value: object) -> None:
    for path, leaf in leaves(value):
        assert plain(get_path(value, path)) == plain(leaf)


def test_whole_numbers_come_off_the_wire_as_integers() -> None:
    assert from_wire({"a": 2.0, "b": 2.5}) == {"a": 2, "b": 2.5}
    assert isinstance(from_wire(2.0), int)


def test_secrets_and_unknowns_are_found_inside() -> None:
    assert has_secret({"a": [1, Secret(2)]})
    assert not has_secret({"a": [1, 2]})
    assert has_unknown(Secret([UNKNOWN]))
    assert not has_unknown({"a": "x"})


def test_a_secret_object_has_secret_leaves() -> None:
    assert dict(leaves({"a": Secret({"b": 1})})) == {("a", "b"): Secret(1)}


def test_secrets_are_equal_to_their_plain_values_when_compared() -> None:
    assert canonical({"b": 1, "a": Secret("x")}) == canonical({"a": "x", "b": 1})


def test_outputs_are_secret_by_name_or_because_the_input_is() -> None:
    outputs = with_secrets({"a": 1, "b": 2, "c": 3}, {"a": Secret(1)}, ["b"])
    assert outputs == {"a": Secret(1), "b": Secret(2), "c": 3}


def test_assets_are_refused() -> None:
    asset = {"4dabf18193072939515e22adb298388d": "c44067f5952c0a294b673a41bacd8c17", "text": "x"}
    with pytest.raises(ValueError, match="assets"):
        from_wire(asset)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("labels", ("labels", 0, "value"), True),
        ("labels[*].value", ("labels", 3, "value"), True),
        ("labels[*].value", ("labels", 3, "label"), False),
        ("environment.A", ("environment", "A"), True),
        ('environment["a.b"]', ("environment", "a.b"), True),
        ("a.b", ("a",), False),
    ],
)
def test_patterns(pattern: str, path: tuple[str | int, ...], expected: bool) -> None:
    assert contains(parse_path(pattern), path) is expected


@pytest.mark.parametrize("text", ["", "a[", "a[x]", "[]"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="property path"):
        parse_path(text)


def test_a_place_can_be_set_and_taken_away() -> None:
    value = {"a": [{"b": 1}], "c": 2}
    assert with_path(value, ("a", 0, "b"), 9) == {"a": [{"b": 9}], "c": 2}
    assert with_path(value, ("c",), None) == {"a": [{"b": 1}]}
    assert with_path(value, ("x", "y"), 1) == value
    assert value == {"a": [{"b": 1}], "c": 2}
