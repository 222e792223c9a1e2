"""Each command of Pulumi's in the README and the docs is typed, word for word, by a test."""

import ast
import re

from tests.support.program import PROJECT

GUIDES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
TESTS = [
    PROJECT / "tests" / "e2e" / name
    for name in ("test_pulumi_words.py", "test_lab.py", "test_lab_end.py")
]
_BLOCK = re.compile(r"^( *)```\w*\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
_COMMAND = re.compile(r"(?:.*\W)?(?:pulumi [a-z]|make recover\b)")


def commands(text: str) -> set[str]:
    """Return the commands in a guide: lines of its blocks, and what stands between backticks."""
    lines = [line.strip() for block in _BLOCK.findall(text) for line in block[1].splitlines()]
    quoted = re.findall(r"`([^`]+)`", _BLOCK.sub("", text))
    found = {*lines, *(" ".join(each.replace("\\|", "|").split()) for each in quoted)}
    return {
        each
        for each in found
        if _COMMAND.match(each) and not each.startswith("#") and "  " not in each
    }


# At import, when no other thread runs: Python 3.11 fails to parse in two at once.
TYPED = {
    node.value
    for path in TESTS
    for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, ast.Constant) and isinstance(node.value, str)
}
"""The texts in the tests that type."""


def test_each_command_is_typed_by_a_test() -> None:
    found = {path.name: commands(path.read_text()) for path in GUIDES}
    assert "pulumi preview --diff" in found["README.md"]
    assert "pulumi cancel" in found["operations.md"]
    missing = {
        f"{name}: {command}"
        for name, each in found.items()
        for command in each
        # The docs leave the end of some away: `pulumi config set --secret --path`.
        if not any(f"{command} " in f"{text} " for text in TYPED)
    }
    assert missing == set()


def test_a_command_that_nobody_types_would_be_found() -> None:
    assert commands("a `pulumi watch` and\n\n```\npulumi console --x\n# pulumi not\n```\n") == {
        "pulumi watch",
        "pulumi console --x",
    }
