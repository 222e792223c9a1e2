"""Whether what is to be undone is still in force, by the outputs that Pulumi has recorded."""

from dataclasses import dataclass

import pytest
from hypothesis import given

from remote import mark
from tests.support.bookkeeping import STEPS, Commands, play


@dataclass
class Force:
    """What is in force on another machine."""

    mark: str | None = None

    def make(self, printed: str) -> str:
        self.mark = mark.made(printed)
        return self.mark

    def undo(self, printed: str) -> None:
        if not mark.is_another(self.mark, printed):
            self.mark = None


@given(STEPS)
def test_it_ends_as_pulumis_bookkeeping_has_it(steps: list[str]) -> None:
    force = Force()
    recorded = play(steps, Commands(force.make, force.undo))
    assert (force.mark is not None) == recorded


@pytest.mark.parametrize(
    "kept", [None, "", "\0" * 16, "0123456789abcde", "0123456789abcdeF", "x" * 16, 7, ["a"], "a\n"]
)
def test_a_damaged_mark_is_no_other(kept: object) -> None:
    assert mark.read(kept) == ""
    for printed in (None, "", "0123456789abcdef", "0123456789abcde"):
        assert not mark.is_another(kept, printed)


@pytest.mark.parametrize("printed", ["", "in force", "0123456789", "0123456789abcdef0", "\0" * 16])
def test_an_output_without_a_mark_gets_a_new_one(printed: str) -> None:
    made = mark.made(printed)
    assert mark.read(made) == made
    assert made not in printed
    assert mark.made(printed) != made
    assert mark.made(f"in force, with the mark {made}") == made
