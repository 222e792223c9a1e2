"""A deletion undoes a command only if that command's mark is still in force."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote import mark


@given(st.text(), st.text(alphabet=" \n:x"))
def test_a_mark_is_kept_whatever_is_printed_with_it(before: str, after: str) -> None:
    printed = f"{before} {mark.made()}{after and ' ' + after}"
    assert mark.is_another(mark.made(), printed)
    again = mark.made(printed)
    assert not mark.is_another(again, printed)
    assert mark.made(f"{again}\n{printed}") == again


@pytest.mark.parametrize(
    "damaged", ["", "\0" * 16, "0123456789abcde", "0123456789abcdefa", "no mark"]
)
def test_a_damaged_mark_is_none(damaged: str) -> None:
    printed = f"in force, with the mark {mark.made()}"
    assert not mark.is_another(damaged, printed)
    assert not mark.is_another(mark.made(), None)
    assert not mark.is_another(mark.made(), f"{mark.ANY}\n")
    assert len(mark.made(mark.ANY)) == 16
    assert mark.made(damaged) != damaged
