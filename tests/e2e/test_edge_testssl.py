"""What testssl.sh says of the edge's TLS; ``REPORT=write`` writes it to docs/tls-report.txt."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from components.config.models.edge import Tls
from tests.support.edge_changes import ADDRESSES
from tests.support.edge_driver import SERVER_PORT, TLS_PORT, an_edge
from tests.support.edge_load import APP, SOCKETS, Servers
from tests.support.pems import Authority
from tests.support.program import PROJECT

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="the edge's HAProxy is started by root: run this as root"
)
REPORT = PROJECT / "docs" / "tls-report.txt"
# `openssl` here has no GOST ciphers to try; headers are what the application says; and the client
# that asks for a ticket may have left before it comes, which is then told as a connect problem.
NOT_OF_TLS = {"engine_problem", "security_headers", "sessionresumption_ticket"}
HEAD = f"""testssl.sh on an edge on loopback, with a certificate of an authority of the test's own,
which it was told to trust (--add-ca). Made by `REPORT=write pytest {Path(__file__).name}`. Its
one remark at MEDIUM is about HTTP: security headers, which the application sends.

"""


def test_nothing_is_rated_medium_or_worse(tmp_path: Path) -> None:
    authority = Authority()
    for domain in (APP, SOCKETS):
        authority.issue(tmp_path / "live" / domain, domain)
    ca, found, log = (tmp_path / name for name in ("ca.pem", "found.json", "log.txt"))
    ca.write_text(authority.pem)
    servers = Servers(SERVER_PORT)
    tls = Tls(port=TLS_PORT, folder=str(tmp_path / "live"))
    with an_edge(tls, authority.pem) as edge, servers.running(*ADDRESSES):
        edge.apply({"web-0": ADDRESSES[0]})
        done = subprocess.run(
            [
                *("testssl", "--quiet", "--warnings", "off", "--color", "0", "--nodns", "none"),
                *("--ip", "127.0.0.1", "--add-ca", ca, "--jsonfile", found, "--logfile", log),
                f"{APP}:{TLS_PORT}",
            ],
            capture_output=True,
            text=True,
        )
    findings = json.loads(found.read_text())
    assert len(findings) > 100, done.stdout + done.stderr
    fine = {"OK", "INFO", "LOW", "DEBUG"}
    rated = [each for each in findings if each["id"] not in NOT_OF_TLS]
    assert [each for each in rated if each["severity"] not in fine] == []
    if os.environ.get("REPORT") == "write":
        # Without what is of this machine and this minute.
        there = r"^(?:.*(?:Start|Done) \d{4}-|## Scan started|## at ).*\n"
        text = re.sub(there, "", log.read_text(), flags=re.MULTILINE).strip()
        REPORT.write_text(HEAD + "".join(f"{line.rstrip()}\n" for line in text.splitlines()))
