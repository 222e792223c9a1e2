"""The commands that Pulumi runs for the edge."""

import subprocess
from collections.abc import Sequence
from typing import cast

import pytest

from components.edge.edge_target import EdgeCommand, command


def run(text: object, printed: str | None) -> list[str]:
    """Run a command as its provider does, and return its arguments."""
    variables = {} if printed is None else {"PULUMI_COMMAND_STDOUT": printed}
    done = subprocess.run(
        ("/bin/sh", "-c", cast("str", text)),
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", **variables},
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("printed", [None, "in force, with the mark 0123456789abcdef", "a 'b' \"c"])
def test_an_apply_gets_its_previous_output(printed: str | None) -> None:
    words: Sequence[str] = ("printf", r"%s\n")
    asked = EdgeCommand(create=("apply", "/f"), delete=("remove", "/f"), stdin="")
    args = command(words, asked)
    assert run(args.create, printed) == ["apply", "/f", "--printed", printed or ""]
    assert run(args.delete, printed) == ["remove", "/f", "--printed", printed or ""]


def test_the_users_have_no_mark() -> None:
    args = command(("echo",), EdgeCommand(create=("users", "/f"), stdin=""))
    assert (args.create, args.delete) == ("echo users /f", None)
