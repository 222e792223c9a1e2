"""Clients of both tiers on loopback, with servers in threads for containers."""

import contextlib
import json
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h2.connection
import h2.events

from lab.live import edge_states
from lab.loopback.site import Site
from tests.support.containers import Container


@contextlib.contextmanager
def running(*containers: Container) -> Iterator[None]:
    """Stop them at the end."""
    try:
        yield
    finally:
        for each in containers:
            each.stop()


@dataclass(frozen=True)
class Answer:
    """What curl got."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the value of a header; of several, the last."""
        return dict(self.headers).get(name.lower())

    def all(self, name: str) -> list[str]:
        """Return the values of a header."""
        return [value for key, value in self.headers if key == name.lower()]

    @property
    def json(self) -> Any:
        """Return the body of an `App`'s answer."""
        return json.loads(self.body)


def curl_command(site: Site, url: str, *options: str) -> tuple[str, ...]:
    """Return the command that asks with curl, which finds every domain at the site."""
    return (
        *("curl", "--silent", "--show-error", "--max-time", "60", "--noproxy", "*"),
        *("--connect-to", f"::{site.address}", *options, url),
    )


def curl(site: Site, url: str, *options: str) -> Answer:
    """Ask with curl, and return what it was answered."""
    with tempfile.TemporaryDirectory() as folder:
        head = Path(folder) / "head"
        done = subprocess.run(
            curl_command(site, url, "--dump-header", str(head), *options),
            check=False,
            capture_output=True,
        )
        assert done.returncode in (0, *_REFUSED_EARLY), done.stderr
        lines = head.read_bytes().decode().replace("\r\n", "\n").strip().split("\n\n")[-1]
    status, *headers = lines.split("\n")
    pairs = [line.partition(":") for line in headers]
    return Answer(
        int(status.split()[1]),
        [(name.lower(), value.strip()) for name, _, value in pairs],
        done.stdout,
    )


_REFUSED_EARLY = (55, 56)
"""Curl's codes for an answer that came before all was sent, and ended the connection."""


def http2_upload(site: Site, host: str, size: int) -> int:
    """Upload with HTTP/2, and return the status.

    Curl 7.88 will not tell one that comes before all was sent.
    """
    protocol = h2.connection.H2Connection()
    protocol.initiate_connection()
    headers = {":method": "POST", ":path": "/", ":scheme": "http", ":authority": host}
    protocol.send_headers(1, [*headers.items(), ("content-length", str(size))])
    with socket.create_connection(("127.0.0.1", site.port), timeout=30) as connection:
        while True:
            while part := min(size, protocol.local_flow_control_window(1), 16_384):
                size -= part
                protocol.send_data(1, b"x" * part, end_stream=size == 0)
            connection.sendall(protocol.data_to_send())
            for event in protocol.receive_data(connection.recv(65_536)):
                if isinstance(event, h2.events.ResponseReceived):
                    return int(dict(event.headers)[b":status"])


def state_of(site: Site, vm: str) -> str:
    """Return what the edge says of a VM that serves `shop`."""
    return edge_states(site.ask("show stat"))[vm]["shop"]
