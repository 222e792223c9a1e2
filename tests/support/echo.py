"""Containers that say what they got, and clients that read it, on both tiers on loopback."""

import contextlib
import json
import socket
import socketserver
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any, Protocol

import h2.connection
import h2.events

from components.config.models.stack import Stack
from lab.loopback.ports import free_ports
from lab.loopback.site import Site
from lab.loopback.vm import Vm


class Echo:
    """A container that answers with its name, and the target and the headers that it got."""

    def __init__(self, name: str, address: str) -> None:
        self.name, self.address, (self.port,) = name, address, free_ports(1)
        echo = self

        class Handler(socketserver.StreamRequestHandler):
            disable_nagle_algorithm = True

            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    while first := self.rfile.readline():
                        lines = iter(self.rfile.readline, b"\r\n")
                        headers = dict(line.decode().strip().split(": ", 1) for line in lines)
                        told = {
                            "name": echo.name,
                            "target": first.split()[1].decode(),
                            "headers": {key.lower(): value for key, value in headers.items()},
                        }
                        body = json.dumps(told).encode()
                        self.wfile.write(
                            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
                        )

        class Listening(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Listening((self.address, self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Accept no more connections."""
        self._server.shutdown()
        self._server.server_close()


@dataclass(frozen=True)
class Answer:
    """A status, and what a container has said, if one has answered."""

    status: int
    said: Mapping[str, Any] | None


class Client(Protocol):
    """Speaks one version of HTTP."""

    def ask(self, host: str, target: str, headers: Mapping[str, str]) -> Answer:
        """Ask for a target."""

    def close(self) -> None:
        """End the connection."""


class Http1:
    """HTTP/1.1 on a connection that is kept."""

    def __init__(self, site: Site, *, absolute: bool = False) -> None:
        self._connection = HTTPConnection(site.address, timeout=30)
        self._absolute = absolute

    def ask(self, host: str, target: str, headers: Mapping[str, str]) -> Answer:
        whole = f"http://{host}{target}" if self._absolute else target
        self._connection.putrequest("GET", whole, skip_host=True)
        for name, value in {"Host": host, **headers}.items():
            self._connection.putheader(name, value.encode())
        self._connection.endheaders()
        answer = self._connection.getresponse()
        return read(answer.status, answer.read())

    def close(self) -> None:
        self._connection.close()


class Http2:
    """HTTP/2 on a connection that is kept, without TLS."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._begin()

    def _begin(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._site.port), timeout=30)
        self._protocol = h2.connection.H2Connection()
        self._protocol.initiate_connection()

    def ask(self, host: str, target: str, headers: Mapping[str, str]) -> Answer:
        named = {":method": "GET", ":path": target, ":scheme": "http", ":authority": host}
        others = {key.lower(): value for key, value in headers.items() if key != "Connection"}
        stream = self._protocol.get_next_available_stream_id()
        self._protocol.send_headers(stream, [*named.items(), *others.items()], end_stream=True)
        status, body = 0, b""
        while True:
            self._socket.sendall(self._protocol.data_to_send())
            received = self._socket.recv(65_536)
            assert received, f"the edge ended the connection at {host}{target}"
            for event in self._protocol.receive_data(received):
                if isinstance(event, h2.events.ResponseReceived):
                    status = int(dict(event.headers)[b":status"])
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                    self._protocol.acknowledge_received_data(len(event.data), stream)
                elif isinstance(event, h2.events.StreamReset):
                    return Answer(400, None)
                elif isinstance(event, h2.events.StreamEnded):
                    return read(status, body)

    def close(self) -> None:
        self._socket.close()


def read(status: int, body: bytes) -> Answer:
    """Return an answer, by a container if it is what only one would say."""
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    return Answer(status, said if isinstance(said, dict) and "target" in said else None)


@contextlib.contextmanager
def serving(site: Site, vm: Vm, stack: Stack) -> Iterator[None]:
    """Have both tiers serve a stack, with a container for each service on one VM."""
    echoes = [
        Echo(name, f"127.0.5.{number}") for number, name in enumerate(stack.services, start=1)
    ]
    try:
        for each in echoes:
            vm.add(each.name, stack, each)
        site.apply(stack, {name: {"web-0": vm.web} for name in stack.services})
        yield
    finally:
        for each in echoes:
            vm.remove(each.name)
            each.stop()
