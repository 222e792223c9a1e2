"""The load on TCP services, and how the lab asks one, against small servers on loopback."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lab import web
from lab.load import tcp
from lab.load.tcp import TcpLoad


class Hello(BaseHTTPRequestHandler):
    """As much of `hello` as the load asks for."""

    protocol_version = "HTTP/1.1"
    answers_before_it_breaks = 1_000_000

    def do_GET(self) -> None:
        self._answer(b"raw-web-0-0\n")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, body: bytes) -> None:
        type(self).answers_before_it_breaks -= 1
        if self.answers_before_it_breaks < 0:
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Breaking(Hello):
    answers_before_it_breaks = 20


@contextmanager
def hello(kind: type[Hello]) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def under_load(kind: type[Hello], monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    monkeypatch.setattr(tcp, "PAUSE", 0.005)
    with hello(kind) as port:
        load = TcpLoad("127.0.0.1", port)
        threads = load.start()
        while load.messages < 40 and not load.broken:
            threads[0].join(0.01)
        return load.end(threads)


def test_connections_that_hold_are_counted_by_container(monkeypatch: pytest.MonkeyPatch) -> None:
    result = under_load(Hello, monkeypatch)
    assert (result["failed"], result["failures"]) == (0, [])
    assert result["containers"] == {"raw-web-0-0": result["connections"]}


def test_a_connection_that_breaks_is_not_opened_again_in_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = under_load(Breaking, monkeypatch)
    assert result["failed"] != 0
    assert "RemoteDisconnected" in str(result["failures"])


def test_load_goes_to_a_lab_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert tcp.main(["192.0.2.1:80"]) == 2
    assert "target: 192.0.2.1: load goes to loopback and to a lab" in capsys.readouterr().err


@contextmanager
def taking(*, closed: bool) -> Iterator[str]:
    kept: list[socket.socket] = []

    def take() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            if closed:
                connection.close()
            else:
                kept.append(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for each in kept:
                each.close()


def outputs(url: str) -> dict[str, object]:
    service = {"url": url, "containers": {"web-0": ["raw-web-0-0"]}}
    return {"edge": {"address": "127.0.0.1:80"}, "services": {"raw": service}}


def test_a_tcp_service_has_to_take_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "TAKEN_SECONDS", 0.2)
    with taking(closed=False) as url:
        web.await_taken(url, 10)
        assert web.smoke(outputs(url), 10) == ({url}, {url})


def test_one_that_closes_connections_at_once_is_told() -> None:
    with taking(closed=True) as url:
        with pytest.raises(web.WebError) as error:
            web.await_taken(url, 0)
        assert str(error.value) == (
            f"{url}: no container takes a connection within 0 s: it was closed at once"
        )
        assert web.smoke(outputs(url), 0) == (set(), {url})
