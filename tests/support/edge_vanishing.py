"""A VM that is powered off, seen from the edge: its packets vanish, nothing is refused or closed.

Run in a network namespace of its own, ``unshare --net python -m tests.support.edge_vanishing``;
prints what was seen as JSON. Ends with ``NO_VETH`` if the kernel cannot make a pair of interfaces.
The VM is another namespace at a bridge, and powered off as libvirt does it: its port is deleted.
"""

import contextlib
import ctypes
import functools
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from remote.edge_agent.system import poll
from tests.support.edge_driver import SERVER_PORT, Edge, an_edge
from tests.support.edge_load import Servers, exchange

NO_VETH = 3
VM = "10.255.0.9"
OTHER = "127.0.0.21"


def ip(*arguments: str) -> int:
    """Run the command ``ip`` and return its code."""
    return subprocess.run(["ip", *arguments], check=False).returncode


def network(vm: int) -> bool:
    """Make a bridge with a port to the namespace of the process ``vm``, and one that stays."""
    ip("link", "set", "lo", "up")
    ip("link", "add", "bridge", "type", "bridge")
    ip("address", "add", "10.255.0.1/24", "dev", "bridge")
    ip("link", "set", "bridge", "up")
    for port, end in (("near", "far"), ("other", "end")):
        if ip("link", "add", port, "type", "veth", "peer", "name", end) != 0:
            return False
        ip("link", "set", port, "master", "bridge", "up")
    ip("link", "set", "end", "up")
    ip("link", "set", "far", "netns", str(vm))
    with inside(vm):
        ip("link", "set", "lo", "up")
        ip("address", "add", f"{VM}/24", "dev", "far")
        ip("link", "set", "far", "up")
    return True


@contextlib.contextmanager
def inside(process: int) -> Iterator[None]:
    """Have what this thread makes be in the network namespace of a process."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as own:
        with Path(f"/proc/{process}/ns/net").open() as other:
            if libc.setns(other.fileno(), 0) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            libc.setns(own.fileno(), 0)


@contextlib.contextmanager
def namespace() -> Iterator[int]:
    """Yield a process with its own network namespace."""
    with subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE) as process:
        own = Path("/proc/self/ns/net").readlink()
        try:
            poll(lambda: Path(f"/proc/{process.pid}/ns/net").readlink() != own, 5)
            yield process.pid
        finally:
            process.kill()


Answer = tuple[int, float]


def answer(edge: Edge, method: str) -> Answer:
    """Send a request, and return the answer's status and when it came."""
    return edge.get(method)[0], time.monotonic()


def on_the_vm(
    edge: Edge, servers: Servers, pool: ThreadPoolExecutor, method: str
) -> Future[Answer]:
    """Send requests until one waits for the VM, and return that one."""

    def reached(request: Future[Answer]) -> bool:
        return request.done() or any(
            each.address == VM and each.method == method for each in servers.arrivals
        )

    while True:
        request = pool.submit(answer, edge, method)
        if not poll(functools.partial(reached, request), 5):
            raise TimeoutError(f"a {method} reached no server")
        if not request.done():
            return request


def kept_to_the_vm(edge: Edge) -> http.client.HTTPConnection:
    """Return a client's connection, with one from HAProxy to the VM that is kept for it."""
    while True:
        client = edge.entrance.http(seconds=30)
        if exchange(client, "GET") == (200, VM):
            return client
        client.close()


def asked_again(client: http.client.HTTPConnection) -> Answer:
    """Send a GET on a connection, and return the answer's status and when it came."""
    return exchange(client, "GET")[0], time.monotonic()


def watch(edge: Edge, servers: Servers) -> dict[str, object]:
    """Power the VM off under requests, and return what became of them, times in seconds."""
    edge.apply({"web-0": VM, "web-1": OTHER})
    # Of two requests in a row one is for the VM.
    kept = [kept_to_the_vm(edge) for _ in range(4)]
    servers.arrivals.clear()
    servers.silent.add(VM)
    with ThreadPoolExecutor() as pool:
        get, post = (on_the_vm(edge, servers, pool, method) for method in ("GET", "POST"))
        off = time.monotonic()
        ip("link", "delete", "near")
        kept_ones = [pool.submit(asked_again, client) for client in kept]
        meanwhile = [pool.submit(answer, edge, "POST") for _ in range(4)]
        poll(lambda: edge.state("web-0")[0] == 0, 6)
        ejected = time.monotonic() - off
        (got, got_at), (posted, posted_at) = get.result(), post.result()
        statuses, times = zip(*(each.result() for each in kept_ones), strict=True)
    posts = [each for each in servers.arrivals if each.method == "POST"]
    servers.wake.set()
    return {
        "ejected": round(ejected, 2),
        "get": (got, round(got_at - off, 2)),
        "kept": (sorted(set(statuses)), round(max(times) - off, 2)),
        "post": (posted, round(posted_at - off, 2)),
        "meanwhile": sorted({request.result()[0] for request in meanwhile}),
        "posts_sent": max(servers.ids()[each.id] for each in posts),
    }


def main() -> int:
    """Make the network, watch, and print."""
    servers = Servers(SERVER_PORT)
    with namespace() as vm:
        if not network(vm):
            return NO_VETH
        with contextlib.ExitStack() as running:
            with inside(vm):
                running.enter_context(servers.running(VM))
            running.enter_context(servers.running(OTHER))
            print(json.dumps(watch(running.enter_context(an_edge()), servers)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
