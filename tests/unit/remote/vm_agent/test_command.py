"""The agent's command line: what states have in their delete commands, and what is none."""

from collections.abc import Callable
from pathlib import Path

import pytest

from remote.vm_agent import __main__ as program
from tests.support.printed import own_prints

ID = "a" * 64


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Have a daemon that says yes; gives what it was asked."""
    words: list[tuple[str, ...]] = []

    def ask(_: Path, *given: str, take: Callable[[str], None] = lambda _: None) -> str:
        words.append(given)
        take("0123456789abcdef")
        return "0123456789abcdef"

    monkeypatch.setattr(program, "ask", ask)
    return words


@pytest.mark.parametrize(
    ("typed", "words", "said"),
    [
        (["join", ID, "120"], ("join", ID, "120.0"), "0123456789abcdef"),
        (["join", ID, "120", "mark="], ("join", ID, "120.0", "mark="), "0123456789abcdef"),
        (["leave", ID, "30"], ("leave", ID, "30.0"), "leave: 0123456789abcdef"),
        (["leave", ID, "30", "mark="], ("leave", ID, "30.0", "mark="), "leave: 0123456789abcdef"),
        (
            ["leave", ID, "30", "mark=0123456789abcdef"],
            ("leave", ID, "30.0", "mark=0123456789abcdef"),
            "leave: 0123456789abcdef",
        ),
        (["evacuate", "30"], ("evacuate", "30.0"), "evacuate: 0123456789abcdef"),
    ],
)
def test_commands_in_states_are_understood(
    asked: list[tuple[str, ...]],
    typed: list[str],
    words: tuple[str, ...],
    said: str,
) -> None:
    with own_prints() as printed:
        assert program.main(typed) == 0
    assert asked == [words]
    assert printed.getvalue() == f"{said}\n"


@pytest.mark.parametrize(
    "typed",
    [
        [],
        ["frobnicate"],
        ["leav", ID, "30"],
        ["Leave", ID, "30"],
        ["leave"],
        ["leave", ID],
        ["leave", ID, "soon"],
        ["leave", ID, "nan"],
        ["leave", ID, "-1"],
        ["leave", ID, "30", "0123456789abcdef"],
        ["leave", ID, "30", "mark=", "more"],
        ["leave", f"{ID} 0\nevacuate", "30"],
        ["leave", "", "30"],
        ["join", ID, "inf"],
        ["evacuate"],
        ["evacuate", "all"],
        ["evacuate", "--now"],
        ["restart"],
        ["version"],
        ["install", "agent.py"],
        ["serve"],
    ],
)
def test_what_is_no_command_does_nothing(
    asked: list[tuple[str, ...]], typed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        program.main(typed)
    assert ended.value.code == 2
    assert asked == []
    assert not list(tmp_path.iterdir())
