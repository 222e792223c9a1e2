"""Known vulnerabilities in the packages of production, the lab and the checks.

pip-audit's data is in the net. Where it is not reached, pip-audit can report success without having
looked anything up, so it is first asked about a release that is known to be vulnerable: only who
answers that is asked about ours.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.commands import PROJECT

KNOWN = "jinja2==3.1.2"  # CVE-2024-22195
SERVICES = ("pypi", "osv")
SECONDS = "10"
"""For one answer."""


def audit(service: str, requirements: Path, *options: str) -> list[dict[str, Any]]:
    """Return pip-audit's result for each package.

    Raises:
        LookupError: It has no result.
    """
    done = subprocess.run(
        (
            *(sys.executable, "-m", "pip_audit", "--vulnerability-service", service),
            *("--requirement", str(requirements), "--disable-pip", *options),
            *("--format", "json", "--progress-spinner", "off", "--timeout", SECONDS),
        ),
        cwd=PROJECT,
        check=False,
        capture_output=True,
        text=True,
    )
    try:
        audited: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError as error:
        raise LookupError(done.stderr.strip().splitlines()[-1]) from error
    return audited


def service_with_data(folder: Path) -> str:
    """Return a service that knows the known vulnerability; skip the test if there is none."""
    known = folder / "known.txt"
    known.write_text(KNOWN)
    silent = []
    for each in SERVICES:
        try:
            (audited,) = audit(each, known, "--no-deps")
        except LookupError as error:
            silent.append(f"{each}: {error}")
            continue
        if audited.get("vulns"):
            return each
        silent.append(f"{each}: {audited.get('skip_reason', 'does not know of ' + KNOWN)}")
    pytest.skip(f"pip-audit has no data here: {'; '.join(silent)}")


@pytest.mark.parametrize(
    ("file", "least"), [("requirements-dev.txt", 50), ("requirements-docs.txt", 20)]
)
def test_no_package_has_a_known_vulnerability(file: str, least: int, tmp_path: Path) -> None:
    audited = audit(service_with_data(tmp_path), PROJECT / file, "--require-hashes")
    assert len(audited) > least, "production's packages are in the first file too"
    assert [each for each in audited if each.get("skip_reason")] == [], "and each is looked up"
    vulnerable = {
        f"{each['name']} {each['version']}": [vuln["id"] for vuln in each["vulns"]]
        for each in audited
        if each["vulns"]
    }
    assert vulnerable == {}
