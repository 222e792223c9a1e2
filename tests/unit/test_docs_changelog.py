"""The changelog is in a form that people and programs know."""

import re
import tomllib

from lab.commands import PROJECT

TEXT = (PROJECT / "CHANGELOG.md").read_text()
VERSIONS = re.findall(r"^## (\S+)(?: \((\d{4}-\d\d-\d\d)\))?$", TEXT, re.MULTILINE)


def test_the_newest_version_is_that_of_the_program() -> None:
    program = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    assert VERSIONS[0] == ("Unreleased", "")
    assert VERSIONS[1][0] == program
    assert f"Version {program}" in (PROJECT / "README.md").read_text()


def test_each_version_has_its_date() -> None:
    dates = [date for _, date in VERSIONS[1:]]
    assert all(dates)
    assert dates == sorted(dates, reverse=True)


def test_changes_are_grouped_by_what_they_mean_for_users() -> None:
    found = set(re.findall(r"^### (.*)$", TEXT, re.MULTILINE))
    assert found <= {"Before you update", "Added", "Changed", "Fixed", "Security"}
