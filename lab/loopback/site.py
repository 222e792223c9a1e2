"""An edge on loopback, which the real edge agent applies, for given servers."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from components.config.loading import parse
from components.config.models.stack import Stack
from components.edge.backends import backend
from components.edge.haproxy import render
from components.edge.pages import read_page
from components.edge.userlists import userlists
from lab.loopback.ports import free_ports
from remote.edge_agent import timer, users
from remote.edge_agent.apply import apply
from remote.edge_agent.bundle import pack
from remote.edge_agent.instance import Instance

HEALTH = "/health"
"""Where servers answer checks, unless a service says otherwise."""


class Site:
    """An edge, and the servers behind it."""

    def __init__(
        self, folder: Path, live: Path | None = None, changed: Callable[[str], str] = str
    ) -> None:
        self.instance = Instance(str(folder), "test-edge")
        self.port, self._http_port, self._stats_port = free_ports(3)
        self._live = live
        self._changed = changed
        self.address = f"127.0.0.1:{self.port}"
        self.ready_seconds = 10.0
        self.edge: dict[str, Any] = {}
        """More keys of ``edge``."""

    def stack(self, services: Mapping[str, Any]) -> Stack:
        """Return a config with these services, with defaults for some of their required keys."""
        whole = {
            name: {
                "image": "app:1",
                "hosts": [f"{name}.example.org"],
                "port": 80,
                # All servers here have this path, except gRPC servers.
                **({} if "h2c" in str(raw.get("http")) else {"health": {"path": HEALTH}}),
                **raw,
            }
            for name, raw in services.items()
        }
        stats = {"port": self._stats_port}
        edge: dict[str, Any] = {"bind": "127.0.0.1", "port": self.port, "stats": stats}
        if self._live is not None:
            tls = {"port": self.port, "folder": str(self._live)}
            edge |= {"port": self._http_port, "tls": tls}
        edge |= self.edge
        return parse({"farm": {"vms": 2, "image": "x"}, "services": whole, "edge": edge})

    def text(
        self,
        stack: Stack,
        servers: Mapping[str, Mapping[str, str]],
        counts: Mapping[str, Mapping[str, int]] | None = None,
    ) -> str:
        """Return the edge's text for servers by service and VM.

        Args:
            stack: The config.
            servers: ``host:port`` by service and VM.
            counts: How many containers each VM runs, by service; one if not given.
        """
        backends = [
            backend(
                name,
                service,
                (counts or {}).get(name) or dict.fromkeys(servers[name], 1),
                servers[name],
                {status: read_page(path) for status, path in service.http.error_pages.items()},
            )
            for name, service in stack.services.items()
        ]
        lists = userlists(stack.services)
        folder = str(self.instance.folder)
        given = render(backends, stack.edge, folder, users.digest(lists) if lists else "")
        return self._changed(pack(given))

    def apply(
        self,
        stack: Stack,
        servers: Mapping[str, Mapping[str, str]],
        counts: Mapping[str, Mapping[str, int]] | None = None,
    ) -> None:
        """Apply a config, as Pulumi's resources do; the arguments are those of `text`."""
        with self.instance.locked():
            lists = userlists(stack.services)
            if lists:
                users.keep(self.instance.folder, lists)
            apply(self.instance, self.text(stack, servers, counts), self.ready_seconds)

    def ask(self, command: str) -> str:
        """Return the current worker's answer."""
        return self.instance.ask_master(f"@1 {command}") or ""


@contextlib.contextmanager
def a_site(live: Path | None = None, changed: Callable[[str], str] = str) -> Iterator[Site]:
    """Yield a site whose edge is removed at the end.

    Args:
        live: Certificates as in `/etc/letsencrypt/live`, for HTTPS.
        changed: Changes the edge's text before it is applied.
    """
    # Not pytest's own folder, whose path is too long for a socket's.
    with tempfile.TemporaryDirectory() as folder:
        made = Site(Path(folder) / "edge", live, changed)
        try:
            yield made
        finally:
            timer.stop(made.instance)
            made.instance.stop()
