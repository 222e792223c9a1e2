"""The process of a plugin: it serves on a port, prints the port, and ends with the CLI."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path

import grpc

_MESSAGE_BYTES = 400 << 20  # as the engine's own limit
CHANNEL = [
    ("grpc.max_receive_message_length", _MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MESSAGE_BYTES),
]
_THREADS = 64
"""Concurrent requests: more than the engine ever makes, so none has to wait."""


@dataclass(frozen=True, kw_only=True)
class PluginService:
    """The gRPC service of a plugin."""

    add: Callable[[grpc.Server], None]
    """Adds it to a server."""
    close: Callable[[], None]
    """Ends everything that it has started."""


def serve(name: str, service: PluginService, line: socket.socket | None = None) -> None:
    """Serve until the process is no longer needed, then end it.

    It ends when its stdout is closed (the CLI is gone), when the launcher's end of the line is
    closed, or on a signal.

    Args:
        name: The process's name, by which it is found after a run was killed.
        service: The service to serve.
        line: The connection to the launcher that the CLI has started, if there is one.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name[:15])
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    server = grpc.server(futures.ThreadPoolExecutor(_THREADS), options=CHANNEL)
    service.add(server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    threading.Thread(target=_watch, args=(over, line), daemon=True).start()
    over.wait()
    service.close()
    # Without waiting for handlers that still run.
    os._exit(0)


def _watch(over: threading.Event, line: socket.socket | None) -> None:
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    if line is not None:
        poll.register(line.fileno(), select.POLLIN | select.POLLRDHUP)
    poll.poll()
    over.set()
