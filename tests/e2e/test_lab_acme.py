"""`make up ACME=1`: the lab's edge obtains its certificates from an ACME server, and renews them.

In the lab of the scenarios before. What a server does that is down or says no is in test_edge_acme.
"""

import sys
from collections.abc import Iterator

import pytest

from components.config.models.edge import Edge
from lab.layout import ADDRESS
from tests.support.driver import LAB, Driver

DAY = 86400


@pytest.fixture(scope="module", autouse=True)
def acme(driver: Driver) -> Iterator[None]:
    driver.ok("--acme", "up")
    yield
    driver.ok("up")
    assert "CN = self-signed" in served(driver), "as before"


def served(driver: Driver) -> str:
    """Return the issuer and the serial number of what the edge shows."""
    ask = f"openssl s_client -connect {ADDRESS}:443 -servername hello.lab </dev/null 2>/dev/null"
    return driver.inside("sh", "-c", f"{ask} | openssl x509 -noout -issuer -serial")


def test_the_edge_has_a_certificate_of_the_acme_server(driver: Driver) -> None:
    assert "Pebble Intermediate CA" in served(driver)


def test_it_is_renewed_in_time_while_requests_are_served(driver: Driver) -> None:
    before, worker = served(driver), driver.edge.process("worker")
    script = (
        "import sys\n"
        "from remote.edge_agent.instance import Instance\n"
        "from remote.edge_agent.renew import renew\n"
        "done = renew(Instance(*sys.argv[1:3]), ahead=float(sys.argv[3]))\n"
        "print(*done.taken_up, *done.problems, sep='\\n')\n"
    )
    folder = f"{Edge().folder}/{LAB}"
    for days, renewed in ((59, False), (61, True)):
        output = driver.inside(sys.executable, "-c", script, folder, LAB, str(days * DAY))
        assert ("hello.lab from" in output) is renewed, output
        assert (served(driver) != before) is renewed
    driver.smoke()
    assert driver.edge.process("worker") == worker, "HAProxy was not even reloaded"
