"""A deletion sees by the mark whether its edge is still in force."""

from pathlib import Path

from remote.edge_agent import mark


def test_an_update_keeps_the_mark_and_another_command_does_not(tmp_path: Path) -> None:
    first = f"in force, with the mark {mark.made(tmp_path)}"
    assert not mark.is_another(tmp_path, first)
    mark.made(tmp_path, first)  # its output never reached the state
    assert not mark.is_another(tmp_path, first), "or it could not be removed any more"
    mark.made(tmp_path)
    assert mark.is_another(tmp_path, first)
    for printed in ("", "in force", "in force, with the mark 0123456789"):
        assert mark.made(tmp_path, printed) not in first
