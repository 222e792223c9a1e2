"""Words of a haproxy.cfg: any text comes out as it went in, by the manual and by HAProxy itself."""

import http.client
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given

from components.edge.quoting import quoted, quoted_format
from remote.edge_agent.system import poll
from tests.support import hostile
from tests.support.readers import haproxy_words
from tests.unit.test_fuzz import few

TEXTS = (
    *(piece for piece in hostile.PIECES if "\0" not in piece and "\ud800" not in piece),
    *(
        '\'a\' "b" \\" \\\\ \\',
        "a  b   c",
        " #x",
        "%%",
        "%[src]",
        "%[",
        "%{+Q}o %ci",
        "$1 ${",
        "é\\",
    ),
    *(
        "\\x41 \\n \\t",
        "if { always_true }",
        "unless",
        "hdr X y",
        '" hdr Evil yes "',
        "€\U0001f600",
    ),
)


def _can_be_in_a_file(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= each <= "\udfff" for each in text)


@few
@given(hostile.text.filter(_can_be_in_a_file))
def test_any_text_is_one_word_that_means_itself(text: str) -> None:
    assert "\n" not in quoted(text)
    if "\r" not in text:  # which the reader takes for a blank, as it may
        assert haproxy_words(f"a {quoted(text)} b") == ["a", text, "b"]
        assert haproxy_words(quoted_format(text)) == [text.replace("%", "%%")]


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("a.example.org", timeout=10)
        self.path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


@contextmanager
def haproxy(frontend: str) -> Iterator[Path]:
    """Run HAProxy with a frontend on a Unix socket, whose path this yields."""
    with tempfile.TemporaryDirectory() as folder:
        path, file = Path(folder) / "web.sock", Path(folder) / "haproxy.cfg"
        file.write_text(
            "defaults\n    mode http\n    timeout client 10s\n"
            f"frontend a\n    bind unix@{path}\n{frontend}"
        )
        process = subprocess.Popen(("haproxy", "-db", "-f", str(file)), stderr=subprocess.DEVNULL)
        try:
            assert poll(path.exists, 10), "HAProxy does not start"
            yield path
        finally:
            process.kill()
            process.wait()


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed here")
def test_haproxy_says_what_it_was_told() -> None:
    as_headers = [text for text in TEXTS if text.isprintable() and len(text) < 1000]
    as_bodies = [text for text in TEXTS if 0 < len(text) < 10_000]
    rules = [
        f"    http-request return status 200 hdr X-Is {quoted_format(text)}"
        f" if {{ path /header/{number} }}\n"
        for number, text in enumerate(as_headers)
    ]
    rules += [
        f"    http-request return status 200 content-type text/plain string {quoted(text)}"
        f" if {{ path /body/{number} }}\n"
        for number, text in enumerate(as_bodies)
    ]
    with haproxy("".join(rules)) as path:
        connection = _UnixConnection(path)
        for number, text in enumerate(as_headers):
            connection.request("GET", f"/header/{number}")
            answer = connection.getresponse()
            answer.read()
            told = answer.headers["X-Is"].encode("latin-1")
            assert told.strip() == text.strip().encode(), text
        for number, text in enumerate(as_bodies):
            connection.request("GET", f"/body/{number}")
            assert connection.getresponse().read() == text.encode(), text
        connection.close()
    assert len(as_headers) > 60
    assert len(as_bodies) > 80
