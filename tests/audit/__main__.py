"""The audit: the checks of Gatehouse's security claims, and one line that counts them.

``python -m tests.audit`` runs the scans, and as root the checks of an applied lab. Each check is a
test that `make test` runs too. A check that cannot run here is listed, and not counted.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from lab.commands import PROJECT

SCANS = ("tests/audit",)
IN_A_LAB = ("tests/e2e/test_lab_locked.py", "tests/e2e/test_lab_secrets.py")


class Count:
    """A pytest plugin that records the result of each check."""

    def __init__(self) -> None:
        self.passed: set[str] = set()
        self.failed: set[str] = set()
        self.not_run: dict[str, str] = {}
        """Why, by the check."""

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Count a file that cannot be read as a failed check."""
        if report.failed:
            self.failed.add(report.nodeid)
        elif report.skipped:
            self.not_run[report.nodeid] = _reason(report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a check once, whichever of its phases fails."""
        if report.failed:
            self.failed.add(report.nodeid)
        elif report.skipped:
            self.not_run[report.nodeid] = _reason(report)
        elif report.when == "call":
            self.passed.add(report.nodeid)

    def lines(self) -> list[str]:
        """Return the lines of the summary; the last one is the result."""
        checks = len(self.passed | self.failed)
        not_run = [f"audit: not run: {name}: {why}" for name, why in sorted(self.not_run.items())]
        return [*not_run, f"audit: {checks} checks, {len(self.failed)} failed"]


def _reason(report: pytest.CollectReport | pytest.TestReport) -> str:
    return str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)


def main() -> int:
    """Run the checks; return 0 if at least one ran and none failed."""
    count = Count()
    checks = [*SCANS]
    if os.geteuid() == 0:
        checks += IN_A_LAB
    else:
        count.not_run |= dict.fromkeys(IN_A_LAB, "a lab needs root: run `make audit` as root")
    os.chdir(PROJECT)
    code = pytest.main(["--verbose", *(str(Path(each)) for each in checks)], plugins=[count])
    print("\n".join(count.lines()), flush=True)
    return 0 if code == pytest.ExitCode.OK and count.passed and not count.failed else 1


if __name__ == "__main__":
    sys.exit(main())
