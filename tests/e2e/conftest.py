"""One lab for all scenarios, which run in the order in which they are written.

``HAPROXY=3.0`` has the tests of the edge use that one, and not the installed one. ``E2E_KEEP=1``
begins with the lab as it is, and leaves it there.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import packages
from lab.loopback.site import Site, a_site
from tests.support import haproxy30
from tests.support.containers import App
from tests.support.driver import Driver
from tests.support.edge_driver import SERVER_PORT, Edge, an_edge
from tests.support.edge_load import APP, SOCKETS, Servers
from tests.support.pems import Authority
from tests.support.two_tiers import running


@pytest.fixture(scope="session", autouse=True)
def installed() -> None:
    """Install what the tests need; without root, the tests themselves say what they need it for."""
    if os.geteuid() == 0:
        packages.ensure(packages.PACKAGES + packages.TEST_PACKAGES)


@pytest.fixture(scope="session", autouse=True)
def haproxy(installed: None) -> None:  # noqa: ARG001 - unpacked with what it installs
    """Choose the HAProxy."""
    wanted = os.environ.get("HAPROXY")
    if wanted == "3.0":
        haproxy30.preferred()
    elif wanted is not None:
        pytest.fail(f"HAPROXY={wanted}: there is 3.0, or the installed one without it")


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """Drive a lab called ``e2e``, with a config of its own; the lab ``lab`` is left alone."""
    if os.geteuid() != 0:
        pytest.fail("the end-to-end tests make a lab, which needs root: run `make test` as root")
    made = Driver(folder=Path(tmp_path_factory.mktemp("e2e")))
    if "E2E_KEEP" in os.environ:
        yield made
        return
    made.run("down")
    yield made
    made.run("down")


@pytest.fixture
def edge() -> Iterator[Edge]:
    """An edge on loopback that serves nothing yet."""
    with an_edge() as made:
        yield made


@pytest.fixture
def servers() -> Servers:
    """What it sends requests to: none runs yet."""
    return Servers(SERVER_PORT)


@pytest.fixture(scope="module")
def authority() -> Authority:
    """What signs certificates."""
    return Authority()


@pytest.fixture
def live(tmp_path: Path, authority: Authority) -> Path:
    """A folder as `/etc/letsencrypt/live`, with a certificate for each of the domains."""
    for domain in (APP, SOCKETS):
        authority.issue(tmp_path / "live" / domain, domain)
    return tmp_path / "live"


@pytest.fixture
def site() -> Iterator[Site]:
    """An edge and any VMs on loopback."""
    with a_site() as made:
        yield made


@pytest.fixture
def app() -> Iterator[App]:
    """A container that answers."""
    made = App("app")
    with running(made):
        yield made
