"""Pebble, the ACME server for tests: it asks the edge on loopback, whatever the domain."""

import contextlib
import functools
import itertools
import json
import os
import socket
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from lab.loopback.ports import free
from remote.edge_agent.system import poll
from tests.support.edge_driver import PORT
from tests.support.pems import Authority

# Other ones than the edge's, and below those that connections take for themselves.
_API, _MANAGEMENT, _DNS, _DNS_MANAGEMENT = itertools.islice(free(range(22_100, 23_000)), 4)
DIRECTORY = f"https://localhost:{_API}/dir"
_VALID = 90 * 86400


class Pebble:
    """A running Pebble."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.log = folder / "pebble.log"
        self.ca = folder / "ca.pem"
        """The authority behind its own certificate."""
        self.ca.write_text(authority.pem)

    def root(self) -> str:
        """Return the PEM of the authority that signs the certificates."""
        context = ssl.create_default_context(cafile=str(self.ca))
        url = f"https://localhost:{_MANAGEMENT}/roots/0"
        with urllib.request.urlopen(url, timeout=10, context=context) as answer:
            return str(answer.read().decode())


@contextlib.contextmanager
def running(
    folder: Path, authority: Authority, *, refused: Sequence[str] = (), asks: int = PORT
) -> Iterator[Pebble]:
    """Run a Pebble that refuses some domains, with a name server that knows all of them."""
    own = authority.issue(folder / "own", "localhost")
    config = {
        "listenAddress": f"127.0.0.1:{_API}",
        "managementListenAddress": f"127.0.0.1:{_MANAGEMENT}",
        "certificate": str(own / "fullchain.pem"),
        "privateKey": str(own / "privkey.pem"),
        "httpPort": asks,
        "tlsPort": 1,
        "certificateValidityPeriod": _VALID,
        "domainBlocklist": list(refused),
    }
    (folder / "config.json").write_text(json.dumps({"pebble": config}))
    made = Pebble(folder, authority)
    environment = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
    names = (
        *("pebble-challtestsrv", "-http01", "", "-https01", "", "-tlsalpn01", ""),
        *("-dns01", f"127.0.0.1:{_DNS}", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""),
        *("-management", f"127.0.0.1:{_DNS_MANAGEMENT}"),
    )
    server = ("pebble", "-config", f"{folder}/config.json", "-dnsserver", f"127.0.0.1:{_DNS}")
    with made.log.open("w") as log, contextlib.ExitStack() as processes:
        for command in (names, server):
            process = processes.enter_context(
                subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **environment})
            )
            processes.callback(process.terminate)
        for port in (_API, _MANAGEMENT, _DNS_MANAGEMENT):
            assert poll(functools.partial(_listens, port), 20), made.log.read_text()
        yield made


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
