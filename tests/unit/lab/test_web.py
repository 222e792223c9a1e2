"""How the lab asks the edge: an address, for another name, with the edge's own certificates."""

import http.server
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.web import WebError, await_ok, get, smoke
from tests.support.self_signed import certificate

URL = "https://hello.lab/"


class _Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"hello-web-0-0\n"
        self.send_response(200 if self.headers["Host"] == "hello.lab" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that do not trust."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("certs")
    certificate(made, "hello.lab")
    return made


@pytest.fixture(scope="module")
def edge(folder: Path) -> Iterator[str]:
    server = _Server(("127.0.0.1", 0), _Answer)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "hello.lab.pem")
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_edges_own_certificate_is_trusted(edge: str, folder: Path) -> None:
    assert get(edge, URL, folder) == (200, "hello-web-0-0\n")
    assert await_ok(edge, URL, 10, folder) == (200, "hello-web-0-0\n")
    outputs = {
        "edge": {"address": edge},
        "services": {"hello": {"url": URL, "containers": {"web-0": ["hello-web-0-0"]}}},
    }
    assert smoke(outputs, 10, folder) == ({"hello-web-0-0"}, {"hello-web-0-0"})


def test_another_certificate_is_not(edge: str, tmp_path: Path) -> None:
    with pytest.raises(WebError, match="CERTIFICATE_VERIFY_FAILED"):
        get(edge, URL, certificate(tmp_path, "hello.lab"))


def test_nor_is_it_for_another_name(edge: str, folder: Path) -> None:
    with pytest.raises(WebError, match=r"certificate is not valid for 'other\.lab'"):
        get(edge, "https://other.lab/", folder)


def test_where_there_is_no_certificate_that_is_told(edge: str, tmp_path: Path) -> None:
    with pytest.raises(WebError, match=r"has no certificate \(\*\.pem\)"):
        get(edge, URL, tmp_path)
    with pytest.raises(WebError, match="https needs the certificates to trust"):
        get(edge, URL)
