"""Pulumi's bookkeeping of a command, whose updates and deletions get its last recorded output."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

STEPS = st.lists(
    st.sampled_from(("create", "lost create", "update", "lost update", "replace", "delete")),
    max_size=12,
)
"""A ``lost`` one takes effect, but Pulumi is killed before it gets the output."""


@dataclass(frozen=True)
class Commands:
    """What the commands of a resource do."""

    create: Callable[[str], str]
    """Gets the previous output, empty if it is new; returns its own."""
    delete: Callable[[str], object]
    """Gets the output of the creation or the last update."""


def play(steps: Sequence[str], commands: Commands) -> bool:
    """Run the commands of those steps that Pulumi would take; return whether the state has it.

    At the end, a resource that was made and not recorded is made again and recorded: Pulumi does so
    at its next update.
    """
    state: str | None = None
    lost = False
    for step in steps:
        if step in ("create", "lost create") and state is None:
            printed = commands.create("")
            lost = step != "create"
            state = None if lost else printed
        elif step in ("update", "lost update") and state is not None:
            printed = commands.create(state)
            state = state if step == "lost update" else printed
        elif step == "replace" and state is not None:
            old, state = state, commands.create("")
            commands.delete(old)
        elif step == "delete" and state is not None:
            commands.delete(state)
            state = None
    if lost and state is None:
        state = commands.create("")
    return state is not None
