"""A fake Docker: it describes containers to Traefik, and does nothing else."""

from __future__ import annotations

import json
import re
from http.server import BaseHTTPRequestHandler
from typing import Any


class DockerApi(BaseHTTPRequestHandler):
    """The API of a fake Docker, which answers with JSON."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer takes 40 ms

    def told(self, path: str) -> Any:
        """Return the document at a path without version and query."""
        raise NotImplementedError

    def do_HEAD(self) -> None:
        """Answer the client library's ping."""
        self._answer(b"")

    def do_GET(self) -> None:
        """Answer a GET."""
        self.answer(re.sub(r"^/v[0-9.]+|\?.*", "", self.path))

    def answer(self, path: str) -> None:
        """Write the document at a path."""
        self._answer(json.dumps(self.told(path)).encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Api-Version", "1.41")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""
