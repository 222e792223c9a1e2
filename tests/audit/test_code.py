"""Scanners of Python code find nothing in the program, in recovery and in the lab."""

import json
import re
import subprocess
import sys
from pathlib import Path

from lab.commands import PROJECT

SCANNED = ("__main__.py", "components", "controller", "lab", "recovery", "remote")
EXCEPTION = r"# *(noqa: [A-Z0-9, ]*\bS\d|nosec)"
RULES = r"# (noqa|nosec)(:? [A-Z]+\d+,?)+"


def test_bandit_finds_nothing_of_high_severity() -> None:
    done = subprocess.run(
        (sys.executable, "-m", "bandit", "--quiet", "--recursive", "--format", "json", *SCANNED),
        cwd=PROJECT,
        check=False,
        capture_output=True,
        text=True,
    )
    report = json.loads(done.stdout)
    assert report["errors"] == []
    assert report["metrics"]["_totals"]["loc"] > 1000, "or it has looked elsewhere"
    high = [
        f"{each['filename']}:{each['line_number']}: {each['test_id']} {each['issue_text']}"
        for each in report["results"]
        if each["issue_severity"] == "HIGH"
    ]
    assert high == []


def test_each_exception_of_a_scanner_names_its_rule_and_has_its_reason_beside_it() -> None:
    bare = [
        f"{path.relative_to(PROJECT)}:{number}: {line.strip()}"
        for path in scanned()
        for number, line, before in numbered(path)
        if re.search(EXCEPTION, line) and not explained(line, before)
    ]
    assert bare == []


def explained(line: str, before: str) -> bool:
    """Whether a line names the rules that it breaks, with the reason at its end or above it."""
    return re.search(rf"{RULES} - \w", line) is not None or (
        re.search(RULES, line) is not None and before.strip().startswith("#")
    )


def scanned() -> list[Path]:
    given = [PROJECT / name for name in SCANNED]
    return [file for each in given for file in ([each] if each.is_file() else each.rglob("*.py"))]


def numbered(path: Path) -> list[tuple[int, str, str]]:
    lines = path.read_text().splitlines()
    return [(n, line, lines[n - 2] if n > 1 else "") for n, line in enumerate(lines, 1)]
