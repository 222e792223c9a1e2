"""Load on a TCP service: ``python -m lab.load.tcp 198.18.0.1:7000``, until standard input ends.

The service is the lab's `hello` behind `tcp`: the messages are HTTP, but the edge and Traefik treat
them as plain TCP. Each connection lasts some seconds, is never retried, and counts as broken if it
ends before its client ends it. The result is one line of JSON on standard output.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from lab.load.plan import LoadError, check_address, target

CLIENTS = 6
MESSAGES = 8  # on a connection
PAUSE = 0.4  # seconds between messages: 3 s a connection, much less than a service's stop_grace
TIMEOUT = 20.0  # seconds; processors may be emulated


@dataclass
class TcpLoad:
    """Clients that connect again and again, and their results."""

    address: str
    port: int
    containers: Counter[str] = field(default_factory=Counter)
    """How many connections each container had, by its slot."""
    messages: int = 0
    broken: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> list[threading.Thread]:
        """Start the clients."""
        threads = [threading.Thread(target=self._connect_again) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        return threads

    def end(self, threads: Sequence[threading.Thread]) -> dict[str, object]:
        """Let each client end its connection, and return the results of all."""
        self._over.set()
        for thread in threads:
            thread.join()
        return {
            "connections": self.containers.total() + len(self.broken),
            "messages": self.messages,
            "failed": len(self.broken),
            "failures": self.broken[:20],
            "containers": dict(sorted(self.containers.items())),
        }

    def _connect_again(self) -> None:
        while not self._over.is_set():
            try:
                container, messages = self._one_connection()
            except (OSError, http.client.HTTPException, ValueError) as error:
                with self._lock:
                    self.broken.append(f"{type(error).__name__}: {error}")
                self._over.wait(PAUSE)
                continue
            with self._lock:
                self.containers[container] += 1
                self.messages += messages

    def _one_connection(self) -> tuple[str, int]:
        """Return the container at its other end, and the number of messages that it sent back."""
        each = http.client.HTTPConnection(self.address, self.port, timeout=TIMEOUT)
        with contextlib.closing(each) as connection:
            connection.connect()
            connection.auto_open = 0  # otherwise it would connect again where this one broke
            connection.request("GET", "/")
            container = connection.getresponse().read().decode().strip()
            sent = 0
            while sent < MESSAGES and not self._over.wait(PAUSE):
                message = uuid.uuid4().hex.encode()
                connection.request("POST", "/echo", body=message)
                answer = connection.getresponse().read()
                if answer != message:
                    raise ValueError(f"sent {message!r}, got {answer[:100]!r}")
                sent += 1
            return container, sent


def main(arguments: list[str]) -> int:
    """Run it; return 0 even if connections broke, as that is its result, or 2 if it is refused."""
    try:
        address, port = target(arguments[0])
        check_address(address)
    except LoadError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    load = TcpLoad(address, port)
    threads = load.start()
    sys.stdin.read()
    print(json.dumps(load.end(threads)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
