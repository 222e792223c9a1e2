"""What a Traefik answers, and which container is one."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remote.names import TRAEFIK_LABEL
from remote.vm_agent import traefik_api
from tests.support.described import container


@pytest.mark.parametrize("token", [b"", b"\xff\xfe\x00", None])
def test_a_token_that_cannot_be_read_is_made_anew(tmp_path: Path, token: bytes | None) -> None:
    file = tmp_path / "token"
    if token is None:
        file.mkdir()
    else:
        file.write_bytes(token)
    made = traefik_api.login(tmp_path)
    assert made == traefik_api.login(tmp_path)
    assert len(file.read_text()) > 32


@pytest.fixture(name="api")
def _api() -> Iterator[Any]:
    class Api(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(self.server.status)  # type: ignore[attr-defined]
            self.end_headers()
            self.wfile.write(self.server.body)  # type: ignore[attr-defined]

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Api) as server:
        server.status = 200  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize(
    ("body", "servers"),
    [
        (b"null", None),
        (b"[]", None),
        (b'"x"', None),
        (b'{"loadBalancer": null}', []),
        (b'{"loadBalancer": [1]}', None),
        (b'{"loadBalancer": {"servers": null}}', []),
        (b'{"loadBalancer": {"servers": 1}}', None),
        (b'{"loadBalancer": {"servers": [1, null, {"url": "u"}]}}', [{"url": "u"}]),
    ],
)
def test_a_traefik_that_answers_oddly_is_silent(api: Any, body: bytes, servers: object) -> None:
    api.body = body
    traefik = container(**{TRAEFIK_LABEL: str(api.server_port)})
    assert traefik_api.known_servers(traefik, container(), {}) == servers


@pytest.mark.parametrize(
    ("status", "body", "servers"),
    [
        (404, b'{"message":"service not found: app@docker"}', []),
        (404, b"404 page not found\n", None),
        *((status, b"{}", None) for status in (204, 302, 400, 401, 403, 404, 429, 500, 502, 503)),
        (401, b'{"message": "no"}', None),
    ],
)
def test_only_the_api_says_that_a_service_has_no_servers(
    api: Any, status: int, body: bytes, servers: object
) -> None:
    api.status, api.body = status, body
    traefik = container(**{TRAEFIK_LABEL: str(api.server_port)})
    assert traefik_api.known_servers(traefik, container(), {}) == servers


@pytest.mark.parametrize(
    ("answers", "everywhere", "nowhere"),
    [
        ([], True, True),
        ([True], True, False),
        ([False], False, True),
        ([None], False, False),
        ([True, None], True, False),
        ([False, None], False, True),
        ([True, False], False, False),
    ],
)
def test_a_traefik_that_says_nothing_is_no_witness(
    answers: list[bool | None], everywhere: bool, nowhere: bool
) -> None:
    assert traefik_api.sends_all(answers) == everywhere
    assert traefik_api.sends_none(answers) == nowhere


@pytest.mark.parametrize("port", ["", "x", "-1", "1" * 9, "٣"])
def test_a_container_whose_label_is_no_port_is_no_traefik(port: str) -> None:
    assert not container(**{TRAEFIK_LABEL: port}).is_traefik
