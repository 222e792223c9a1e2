"""How the audit counts, and what its own checks take for a reason or for an answer."""

import os
from pathlib import Path

import pytest

from tests.audit import __main__ as command
from tests.audit import test_code, test_packages

CHECKS = """
import pytest

def test_passes(): pass
def test_fails(): assert False
def test_skipped(): pytest.skip("no data here")

@pytest.fixture
def broken():
    yield
    raise RuntimeError

def test_fails_when_it_is_over(broken): pass
"""


def audited(
    folder: Path, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, list[str]]:
    """Return the exit code and the lines after pytest's."""
    file = folder / f"test_of_{folder.name}.py"  # imported here, so each by another name
    file.write_text(text)
    monkeypatch.setattr(command, "SCANS", (str(file),))
    monkeypatch.setattr(command, "PROJECT", folder)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.chdir(folder)
    code = command.main()
    printed = capsys.readouterr().out.splitlines()
    return code, [line for line in printed if line.startswith("audit:")]


def test_each_check_counts_once_and_what_was_not_run_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, printed = audited(tmp_path, CHECKS, monkeypatch, capsys)
    assert code == 1
    assert printed[-1] == "audit: 3 checks, 2 failed"
    assert printed[0].endswith("py::test_skipped: Skipped: no data here")
    assert printed[0].startswith("audit: not run: ")
    assert [line for line in printed if "test_lab_locked.py: a lab needs root" in line]


def test_an_audit_that_finds_nothing_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, printed = audited(tmp_path, "def test_passes(): pass", monkeypatch, capsys)
    assert (code, printed[-1]) == (0, "audit: 1 checks, 0 failed")


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("", "audit: 0 checks, 0 failed"),
        ("import nothing_like_it", "audit: 1 checks, 1 failed"),
        ("import pytest\ndef test_a(): pytest.skip('x')", "audit: 0 checks, 0 failed"),
    ],
)
def test_an_audit_that_could_not_look_fails(
    text: str,
    last: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, printed = audited(tmp_path, text, monkeypatch, capsys)
    assert (code, printed[-1]) == (1, last)


@pytest.mark.parametrize(
    ("line", "before", "explained"),
    [
        ("x = 1  # noqa: S104 - it is compared", "", True),
        ("x = 1  # noqa: S104, S105 - compared", "", True),
        ("x = 1  # noqa: S104", "    # It is compared.", True),
        ("x = 1  # noqa: S701 # nosec B701", "# Not HTML.", True),
        ("x = 1  # noqa: S104", "y = 2", False),
        ("x = 1  # nosec B104", "y = 2", False),
        ("x = 1  # nosec - just so", "", False),
        ("x = 1  # nosec", "# Just so.", False),
    ],
)
def test_an_exception_of_a_scanner_needs_its_rule_and_a_reason(
    line: str, before: str, explained: bool
) -> None:
    assert test_code.explained(line, before) is explained


def answering(answers: dict[str, list[dict[str, object]]], monkeypatch: pytest.MonkeyPatch) -> None:
    def audit(service: str, requirements: Path, *options: str) -> list[dict[str, object]]:
        assert requirements.read_text() == test_packages.KNOWN
        assert options == ("--no-deps",)
        if service not in answers:
            raise LookupError("cannot be reached")
        return answers[service]

    monkeypatch.setattr(test_packages, "audit", audit)


def test_only_a_service_that_knows_the_known_vulnerability_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering({"osv": [{"name": "jinja2", "vulns": [{"id": "X"}]}]}, monkeypatch)
    assert test_packages.service_with_data(tmp_path) == "osv"


def test_no_data_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "pypi": [{"name": "jinja2", "skip_reason": "not found"}],
        "osv": [{"name": "jinja2", "vulns": []}],
    }
    answering(answers, monkeypatch)  # type: ignore[arg-type]
    with pytest.raises(pytest.skip.Exception, match=r"pypi: not found; osv: does not know of jin"):
        test_packages.service_with_data(tmp_path)
    answering({}, monkeypatch)
    with pytest.raises(pytest.skip.Exception, match="pypi: cannot be reached; osv: cannot"):
        test_packages.service_with_data(tmp_path)
