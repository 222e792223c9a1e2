import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.providers.changes import changes_between
from lab.providers.values import (
    UNKNOWN,
    canonical,
    from_wire,
    has_unknown,
    leaves,
    parse_path,
    show_path,
    to_wire,
)

PATIENT = settings(deadline=None, max_examples=60)  # machines under load are slow at times
scalars = st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8)
values = st.recursive(
    scalars | st.just(UNKNOWN),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=12,
)
steps = st.text(max_size=6) | st.integers(0, 30)


@PATIENT
@given(values)
def test_a_value_survives_the_wire_and_json(value: object) -> None:
    assert to_wire(from_wire(json.loads(json.dumps(to_wire(value))))) == to_wire(value)


@PATIENT
@given(st.lists(steps, min_size=1, max_size=4).filter(lambda path: isinstance(path[0], str)))
def test_a_path_can_be_shown_and_read_back(path: list[str | int]) -> None:
    if any(isinstance(step, str) and ("*" in step) for step in path):
        return
    assert parse_path(show_path(tuple(path))) == tuple(path)


@PATIENT
@given(st.dictionaries(st.text(max_size=5), values, max_size=3))
def test_only_what_is_unknown_differs_from_itself(value: dict[str, object]) -> None:
    found = {change.path for change in changes_between(value, value)}
    assert found == {path for path, leaf in leaves(value) if leaf is UNKNOWN}


def test_whole_numbers_come_off_the_wire_as_integers() -> None:
    assert from_wire({"a": 2.0, "b": 2.5}) == {"a": 2, "b": 2.5}
    assert isinstance(from_wire(2.0), int)


def test_unknowns_are_found_inside() -> None:
    assert has_unknown({"a": [1, UNKNOWN]})
    assert not has_unknown({"a": [1, "x"]})


def test_a_secret_is_its_value() -> None:
    mark = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
    assert from_wire({"a": {**mark, "value": {"b": 1.0}}}) == {"a": {"b": 1}}


def test_equal_values_have_one_text() -> None:
    assert canonical({"b": 1, "a": "x"}) == canonical({"a": "x", "b": 1})


def test_assets_are_refused() -> None:
    asset = {"4dabf18193072939515e22adb298388d": "c44067f5952c0a294b673a41bacd8c17", "text": "x"}
    with pytest.raises(ValueError, match="assets"):
        from_wire(asset)


@pytest.mark.parametrize("text", ["", "a[", "a[x]", "[]"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="property path"):
        parse_path(text)


def test_what_differs_is_told_by_its_path() -> None:
    old = {"a": [1, 2], "set": ["x", "y"], "gone": {"b": 1}}
    new = {"a": [1, 3, 4], "set": ["y", "x"]}
    found = {show_path(each.path): each.kind for each in changes_between(old, new, {"set"})}
    assert found == {"a[1]": "update", "a[2]": "add", "gone.b": "delete"}
