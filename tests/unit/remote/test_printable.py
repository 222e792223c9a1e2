"""What others said is shown whole, and does nothing to the terminal."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from remote.printable import MOST, printable


@given(st.text(max_size=200))
def test_only_what_a_terminal_obeys_is_replaced(said: str) -> None:
    shown = printable(said)
    for before, after in zip(said, shown, strict=True):
        obeyed = unicodedata.category(before) in {"Cc", "Zl", "Zp"} and before not in "\n\t"
        obeyed |= unicodedata.bidirectional(before) in {
            *("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"),
        }
        assert after == ("\ufffd" if obeyed else before)


def test_of_a_long_text_the_end_is_shown() -> None:
    assert printable("a" * MOST + "end") == f"...{'a' * (MOST - 3)}end"
