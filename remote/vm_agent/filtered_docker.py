"""Docker's socket as Traefik has it."""

import json
import re
import time
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from remote.vm_agent import docker
from remote.vm_agent.server import UnixServer

_TELL_AGAIN_SECONDS = 10.0
"""Seconds after which Traefik lists the containers again although nothing has changed."""
_ASKED_DOCKER = re.compile(r"(/v[0-9.]+)?/(_ping|version)")
_LIST = re.compile(r"(/v[0-9.]+)?/containers/json")
_ONE = re.compile(r"(/v[0-9.]+)?/containers/(?P<id>[0-9a-f]+)/json")
_EVENTS = re.compile(r"(/v[0-9.]+)?/events")


class FilteredDocker(BaseHTTPRequestHandler):
    """Docker's API as Traefik sees it: to read, and only of containers that may serve."""

    protocol_version = "HTTP/1.1"
    server: UnixServer

    def log_message(self, *_: object) -> None:
        """Log nothing: Traefik asks often."""

    def do_POST(self) -> None:
        """Refuse every request that could change something."""
        self.close_connection = True  # the request's body has not been read
        self._answer(403, b'{"message":"not for Traefik: it may read only"}')

    do_PUT = do_DELETE = do_PATCH = do_POST  # noqa: N815 - http.server's names

    def do_HEAD(self) -> None:
        """Answer the client library's ping."""
        self.do_GET()

    def do_GET(self) -> None:
        """Answer an allowed request."""
        path = urlsplit(self.path).path
        try:
            if _EVENTS.fullmatch(path):
                self._events()
            elif _LIST.fullmatch(path):
                listed = [{"Id": each} for each in self.server.agent.view.shown()]
                self._answer(200, json.dumps(listed).encode())
            elif one := _ONE.fullmatch(path):
                found = self.server.agent.view.shown().get(one["id"])
                if found is None:
                    self._answer(404, b'{"message":"no such container, or it may not serve"}')
                else:
                    self._answer(200, json.dumps(found.told).encode())
            elif _ASKED_DOCKER.fullmatch(path):
                self._answer(*docker.ask(path))  # and nothing that may follow it
            else:
                self._answer(403, b'{"message":"not for Traefik"}')
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except OSError as error:
            self._answer(503, json.dumps({"message": str(error)}).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Api-Version", "1.40")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _events(self) -> None:
        """Write an event that has Traefik list the containers again after each change."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        # One at once: what changed between Traefik's list and this request would be missed. And
        # again after a while: if it cannot list, Traefik 3.7 waits for the next event.
        seen = self.server.agent.view.await_change(-1, 0)
        while True:
            self._write_event()
            seen = self.server.agent.view.await_change(seen, _TELL_AGAIN_SECONDS)

    def _write_event(self) -> None:
        event = {
            "Type": "container",
            "Action": "health_status: healthy",
            "Actor": {"ID": "gatehouse", "Attributes": {}},
            "time": int(time.time()),
        }
        line = json.dumps(event).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.flush()
