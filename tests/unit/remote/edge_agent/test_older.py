"""What an older version's haproxy.cfg says, by the one that such a version has left."""

from pathlib import Path

import pytest

from remote.edge_agent import bundle, facts
from remote.edge_agent.system import EdgeError
from remote.edge_agent.versions import Version
from tests.support import golden

OLDER = golden.FOLDER.parents[1] / "support" / "older_edge"
NUMBERS = {"@PORT@": "80", "@TLS@": "443", "@STATS@": "8404", "@SERVER@": "8001"}


@pytest.fixture
def version(tmp_path: Path) -> Version:
    """Return it where an edge agent finds it."""
    made = Version(tmp_path, "0123456789abcdef")
    for path in OLDER.rglob("*"):
        if path.is_file():
            text = path.read_text()
            for mark, number in NUMBERS.items():
                text = text.replace(mark, number)
            bundle.write_file(made.folder / path.relative_to(OLDER), text)
    return made


def test_its_listeners_checks_certificates_and_users_are_known(version: Version) -> None:
    known = version.facts()
    assert [each.where for each in known.listeners] == [
        *("127.0.0.1:80", "127.0.0.1:443", "127.0.0.1:8404")
    ]
    assert {(each.backend, each.server, each.address) for each in known.checks} == {
        *(("app", "web-0", "127.0.0.21:8001"), ("app", "web-1", "127.0.0.22:8001")),
        *(("closed", "web-0", "127.0.0.21:8001"), ("closed", "web-1", "127.0.0.22:8001")),
        ("sockets", "web-9", "127.0.0.1:@SOCKETS@"),
    }
    assert {(each.host, each.path) for each in known.checks if each.backend == "closed"} == {
        ("app.example.org", "/health")
    }
    assert known.certificates is not None
    assert known.certificates.domains == (
        *("app.example.org", "sockets.example.org", "closed.example.org"),
    )
    assert known.users == "b67bc3a55ae23413"


def test_todays_facts_come_before_what_its_text_says(version: Version) -> None:
    bundle.write_file(version.files / facts.FILE, facts.text(facts.Facts()))
    assert version.facts() == facts.Facts()


@pytest.mark.parametrize("file", ["tls.json", "facts.json"])
def test_damaged_facts_are_an_error_and_known_as_nothing(version: Version, file: str) -> None:
    bundle.write_file(version.files / file, "{")
    with pytest.raises(EdgeError, match="run `pulumi up` again"):
        version.facts()
    assert version.known() == facts.Facts()
