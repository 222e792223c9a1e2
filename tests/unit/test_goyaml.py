"""What values without quotes are to Pulumi; the answers are those of `pulumi config --json`."""

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components import goyaml
from components.config.check import raw_config

TEXT = (
    *("1:20", "190:20:30", "1:20.5", "-1:20", "1:2:3:4", "01:20", "0:0", "a#b", "\uff11", "="),
    *("yes", "no", "on", "off", "Yes", "NO", "On", "y", "n", "tRUE", "1,000", "0x", "0b", "_1"),
    *("__", "._5", "5e", "1.2.3", "0x1G", "1e400", "0xFFFFFFFFFFFFFFFFFF"),
)
OTHERS: dict[str, object] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("~", "null", "Null", "NULL", "")),
    **dict.fromkeys(("!!str 5", "'5'"), "5"),
    **dict.fromkeys(("0755", "0o755", "+0755"), 493),
    **dict.fromkeys(("0x1F", "0X1f", "0x_1F"), 31),
    **dict.fromkeys(("1_000", "1e3", "1E3", "1.0e3"), 1000),
    **dict.fromkeys(("5.", "+5", "!!float 5", "!!int '5'"), 5),
    **dict.fromkeys((".5", "+.5"), 0.5),
    **dict.fromkeys(("0O7", "0_7"), 7),
    **dict.fromkeys(("1_", "0B1", "0.1e1"), 1),
    **dict.fromkeys(("-0", "0.0"), 0),
    "-0755": -493,
    "-0x1F": -31,
    "0b11": 3,
    "08": 8,
    "09": 9,
    "1__0": 10,
    "1.5e+3": 1500,
    ".5e3": 500,
    "-.5": -0.5,
    "1e-7": 1e-7,
    "1_0.5": 10.5,
    "123456789012345678901234567890": 1.2345678901234568e29,
    "9007199254740993": 9007199254740993,
}


@pytest.mark.parametrize("text", [*TEXT, *OTHERS])
def test_a_value_is_what_pulumi_gives_the_program(text: str) -> None:
    file = f"config:\n  gatehouse:farm:\n    a: {text}\n"
    value, expected = raw_config(file)["farm"]["a"], OTHERS.get(text, text)
    assert (value, type(value)) == (expected, type(expected))


@pytest.mark.parametrize(
    "text", ["!!bool yes", "!!null x", "!!int 1:20", "!!int x", "!!float x", "!!int 1.5", "!foo 5"]
)
def test_a_value_that_does_not_fit_its_tag_is_refused(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        goyaml.load(text)


@pytest.mark.parametrize("text", ["2001-01-01", "2001-1-1", "2001-01-01 10:00:00", "2001-99-99"])
def test_a_date_is_neither_text_nor_a_number(text: str) -> None:
    assert isinstance(goyaml.load(text), goyaml.Date)


@pytest.mark.parametrize("text", [".inf", "-.INF", ".nan"])
def test_what_pulumi_cannot_pass_on_is_no_finite_number(text: str) -> None:
    assert not math.isfinite(goyaml.load(text))


def test_merges_are_merged() -> None:
    assert goyaml.load("{a: &x {b: 1}, c: {<<: *x, d: 2}}")["c"] == {"b": 1, "d": 2}


@given(st.text(alphabet="0123456789+-._:xXoObBeEaAfF~nulyes", max_size=12))
def test_no_text_is_an_error(text: str) -> None:
    value = goyaml.scalar(text)
    assert value is None or isinstance(value, bool | int | float | str | goyaml.Date)


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("a:\t1", {"a": 1}),
        ("a: 1\t# c", {"a": 1}),
        ('a: "x"\t# c', {"a": "x"}),
        ("a: {b:\t1,\tc: 2}", {"a": {"b": 1, "c": 2}}),
        ("a: b\tc", {"a": "b\tc"}),
        ("a:\t\n  b: 1", {"a": {"b": 1}}),
        ("a:\t|\n  x\n", {"a": "x\n"}),
        ("'a'\t: 2", {"a": 2}),
    ],
)
def test_a_tab_after_a_key_is_a_blank(text: str, content: object) -> None:
    assert goyaml.load(text) == content


@pytest.mark.parametrize("text", ["a:\n  b:\t1\n\tc: 2", "a:\n  -\tb", "? a\n:\t1", "\ta: 1"])
def test_a_tab_where_a_key_could_begin_is_an_error(text: str) -> None:
    with pytest.raises(goyaml.UNREADABLE):
        goyaml.load(text)
