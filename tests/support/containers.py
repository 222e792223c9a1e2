"""The applications in containers, as servers in threads on separate loopback addresses."""

import contextlib
import itertools
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent import futures
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from typing import Any

import grpc
import websockets.sync.server
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from lab.loopback.ports import free_ports
from lab.loopback.site import HEALTH

_addresses = (f"127.0.3.{number}" for number in itertools.count(1))


@dataclass
class App:
    """An HTTP server that answers with its name and what it was asked, as JSON."""

    name: str
    address: str = field(default_factory=lambda: next(_addresses))
    port: int = field(default_factory=lambda: free_ports(1)[0])
    hold: threading.Event = field(default_factory=threading.Event)
    """`/hold` is answered when it is set."""
    held: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Counts the requests to `/hold` and `/wait` that have arrived."""
    left: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Counts the requests to `/wait`, which are never answered, that were given up."""
    health_checks: int = 0
    healthy: bool = True
    """Whether it passes its health check."""
    edge_checks: int = 0
    """Those that are a VM's to answer, where there is none before it."""
    fails: int = 200
    """The status of its answers but to checks, unless the path says it."""
    asked: Counter[str] = field(default_factory=Counter)
    """Counts the requests, by method and path, once all of them is here."""

    def __post_init__(self) -> None:
        app = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                if self.path == "/slow":
                    time.sleep(2)  # of a body, no more than buffers take is on its way meanwhile
                body = _body(self.headers, self.rfile)
                if body is None:
                    self.close_connection = True
                    return
                app.edge_checks += str(self.headers["Host"]).endswith("._http")
                app.asked[f"{self.command} {self.path}"] += 1
                if self.path == HEALTH:
                    app.health_checks += 1
                    if not app.healthy:
                        self._answer(500, {}, b"")
                        return
                elif self.path == "/hang-up":
                    self.close_connection = True
                    return
                elif self.path == "/hold":
                    app.held.release()
                    app.hold.wait(60)
                elif self.path.startswith("/late/"):
                    time.sleep(1)  # an application that gives up by itself
                elif self.path == "/wait":
                    app.held.release()
                    with contextlib.suppress(ConnectionResetError):
                        self.connection.recv(1)
                    app.left.release()
                    self.close_connection = True
                    return
                self._answer(*app.answer(self.path, dict(self.headers.items()), len(body)))

            do_POST = do_PUT = do_HEAD = do_OPTIONS = do_GET  # noqa: N815 - names that the base class looks for

            def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
                self.send_response_only(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        class Listening(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: object, client_address: object) -> None:
                """Say nothing: HAProxy's checks end their connections with a reset."""

        self._server = Listening((self.address, self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(
        self, path: str, headers: Mapping[str, str], length: int, /
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Return status, headers and body; `/status/503` and so on answer with that status."""
        received = {"name": self.name, "path": path, "headers": headers, "length": length}
        wanted = re.fullmatch(r"/(?:status|late)/(\d+)", path)
        kind = {"Content-Type": "application/json", "Server": "app/1.0"}
        status = 200 if path == HEALTH else self.fails
        return int(wanted[1]) if wanted else status, kind, json.dumps(received).encode()

    def stop(self) -> None:
        """Accept no more connections."""
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()


def _body(headers: Message, stream: BufferedIOBase) -> bytes | None:
    """Return a request's body, or None if it ends early."""
    if "Transfer-Encoding" not in headers:
        wanted = int(headers.get("Content-Length", 0))
        body = stream.read(wanted)
        return body if len(body) == wanted else None
    parts: list[bytes] = []
    while line := stream.readline():
        size = int(line.split(b";")[0], 16)
        part = stream.read(size)
        stream.readline()
        if len(part) < size:
            break
        if size == 0:
            return b"".join(parts)
        parts.append(part)
    return None


@dataclass
class Sockets:
    """A WebSocket server that sends back what it gets, with its name before."""

    name: str
    address: str = field(default_factory=lambda: next(_addresses))
    port: int = field(default_factory=lambda: free_ports(1)[0])

    def __post_init__(self) -> None:
        def echo(connection: websockets.sync.server.ServerConnection) -> None:
            for message in connection:
                connection.send(f"{self.name} {message!s}")

        def healthy(_: object, request: Request) -> Response | None:
            return Response(200, "OK", Headers()) if request.path == HEALTH else None

        self._server = websockets.sync.server.serve(
            echo, self.address, self.port, process_request=healthy
        )
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Close all."""
        self._server.shutdown()


@dataclass
class Calls:
    """A gRPC server without a health service: `Once` and `Both` answer with what they get."""

    name: str
    address: str = field(default_factory=lambda: next(_addresses))
    port: int = field(default_factory=lambda: free_ports(1)[0])

    def __post_init__(self) -> None:
        self._server = grpc.server(futures.ThreadPoolExecutor(50))
        self._server.add_generic_rpc_handlers((_Echo(self.name.encode()),))
        assert self._server.add_insecure_port(f"{self.address}:{self.port}")
        self._server.start()

    def stop(self) -> None:
        """End all calls."""
        self._server.stop(None)


class _Echo(grpc.GenericRpcHandler):
    def __init__(self, name: bytes) -> None:
        self._name = name

    def service(self, handler_call_details: Any) -> Any:
        match handler_call_details.method:
            case "/test.Echo/Once":
                return grpc.unary_unary_rpc_method_handler(self._once)
            case "/test.Echo/Both":
                return grpc.stream_stream_rpc_method_handler(self._both)
            case _:
                return None

    def _once(self, request: bytes, context: Any) -> bytes:
        context.set_trailing_metadata((("x-length", str(len(request))),))
        if request == b"fail":
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "as it was told")
        return self._name + b" " + request

    def _both(self, requests: Iterator[bytes], _: Any) -> Iterator[bytes]:
        for request in requests:
            yield self._name + b" " + request


Container = App | Sockets | Calls
