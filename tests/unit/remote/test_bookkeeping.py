"""A deletion undoes the right command, by the outputs that Pulumi has recorded."""

from dataclasses import dataclass

from hypothesis import example, given

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
        if self.mark is not None and not mark.is_another(self.mark, printed):
            self.mark = None


@example(["create", "lost update", "delete"])
@example(["lost create", "create", "replace", "lost update", "delete"])
@given(STEPS)
def test_it_ends_as_pulumis_bookkeeping_has_it(steps: list[str]) -> None:
    force = Force()
    recorded = play(steps, Commands(force.make, force.undo))
    assert (force.mark is not None) == recorded
