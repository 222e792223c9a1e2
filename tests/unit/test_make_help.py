"""`make help` lists every target with its meaning, in two columns."""

import re
import subprocess

from tests.support.program import PROJECT

MAKEFILE = (PROJECT / "Makefile").read_text()


def test_make_help_lists_every_target_in_columns() -> None:
    phony = re.search(r"^\.PHONY: ((?:.*\\\n)*.*)", MAKEFILE, re.MULTILINE)
    assert phony is not None
    lines = subprocess.run(
        ("make", "--no-print-directory", "help"),
        cwd=PROJECT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    rows = [re.fullmatch(r"(\S+ +)\S.*", line) for line in lines]
    named = {row[1].strip(): len(row[1]) for row in rows if row is not None}
    assert named.keys() == set(phony[1].replace("\\", " ").split())
    assert len(set(named.values())) == 1
