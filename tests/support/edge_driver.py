"""An edge on loopback: the script, the real HAProxy, one service on changing servers."""

import contextlib
import itertools
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from components.config.models.edge import Edge as EdgeConfig
from components.config.models.edge import Stats, Tls
from components.edge.backends import Backend, Server
from components.edge.haproxy import render
from lab.loopback.ports import free
from remote.edge_agent import timer
from remote.edge_agent.apply import apply
from remote.edge_agent.bundle import pack
from remote.edge_agent.instance import Instance
from tests.support import edge_load
from tests.support.edge_load import Entrance

# Below the ports that connections take for themselves.
PORT, TLS_PORT, SERVER_PORT, SOCKETS_PORT, STATS_PORT, SSH_PORT = itertools.islice(
    free(range(21_080, 22_000)), 6
)


class Edge:
    """An edge with one service on changing servers, and one with WebSockets."""

    def __init__(self, folder: Path, tls: Tls | None = None, authority: str | None = None) -> None:
        self.instance = Instance(str(folder), "test-edge")
        self.plain = Entrance(("127.0.0.1", PORT))
        self.entrance = self.plain if tls is None else Entrance(("127.0.0.1", TLS_PORT), authority)
        self.config = EdgeConfig(bind="127.0.0.1", port=PORT, tls=tls, stats=Stats(port=STATS_PORT))
        self.ready_seconds = 10.0

    def text(self, servers: dict[str, str]) -> str:
        """Return the haproxy.cfg for servers by name."""
        backends = [
            _backend(
                "app", edge_load.APP, {name: f"{at}:{SERVER_PORT}" for name, at in servers.items()}
            ),
            _backend("sockets", edge_load.SOCKETS, {"web-9": f"127.0.0.1:{SOCKETS_PORT}"}),
        ]
        folder = str(self.instance.folder)
        return pack(render(backends, self.config, folder))

    def apply(self, servers: dict[str, str]) -> None:
        with self.instance.locked():
            apply(self.instance, self.text(servers), self.ready_seconds)

    def get(self, method: str = "GET") -> tuple[int, str]:
        with contextlib.closing(self.entrance.http()) as each:
            return edge_load.exchange(each, method)

    def ask(self, command: str) -> str:
        """Return what the current worker answers."""
        return self.instance.ask_master(f"@1 {command}") or ""

    def state(self, server: str) -> tuple[int, int]:
        """Return a server's operational and administrative state, as its management guide says."""
        found = re.search(rf" app \d+ {server} \S+ (\d+) (\d+) ", self.ask("show servers state"))
        assert found is not None
        return int(found[1]), int(found[2])

    def master(self) -> int | None:
        found = re.search(r"(\d+)\s+master", self.instance.ask_master("show proc") or "")
        return int(found[1]) if found else None

    def is_back(self, old: int) -> bool:
        return self.master() not in {old, None}

    def worker(self) -> int:
        processes = self.instance.ask_master("show proc") or ""
        found = re.search(r"# workers\n(\d+)", processes)
        assert found is not None, processes
        return int(found[1])


def _backend(name: str, host: str, servers: dict[str, str]) -> Backend:
    return Backend(
        name=name,
        hosts=(host,),
        path="",
        check_host=host,
        check_path=edge_load.HEALTH,
        check_timeout=2,
        servers=tuple(
            Server(name=each, address=address, weight=1) for each, address in servers.items()
        ),
    )


@contextlib.contextmanager
def an_edge(tls: Tls | None = None, authority: str | None = None) -> Iterator[Edge]:
    """Yield an edge that is removed at the end.

    Args:
        tls: Its certificates and so on; for the port ``TLS_PORT``.
        authority: The PEM of who signed them.
    """
    # Not pytest's own folder, whose path is too long for a socket's.
    with tempfile.TemporaryDirectory() as folder:
        made = Edge(Path(folder) / "edge", tls, authority)
        with edge_load.echoing("127.0.0.1", SOCKETS_PORT):
            try:
                yield made
            finally:
                timer.stop(made.instance)
                made.instance.stop()
