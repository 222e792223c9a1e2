"""A VM that is powered off, seen from the edge: its packets vanish, nothing is refused or closed.

Run in a network namespace of its own, ``unshare --net python -m tests.e2e.edge_vanishing``; prints
what was seen as JSON. Ends with ``NO_VETH`` if the kernel cannot make a pair of interfaces.
"""

import functools
import json
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor

from components.edge.keeper.system import poll
from tests.e2e.edge_driver import SERVER_PORT, Edge, an_edge
from tests.e2e.edge_load import Servers

NO_VETH = 3
VM = "10.255.0.9"
OTHER = "127.0.0.21"


def ip(*arguments: str) -> int:
    """Run the command ``ip`` and return its code."""
    return subprocess.run(["ip", *arguments], check=False).returncode


def network() -> bool:
    """Make a network in which the VM's packets go to a wire without it, once it is gone."""
    ip("link", "set", "lo", "up")
    if ip("link", "add", "near", "type", "veth", "peer", "name", "far") != 0:
        return False
    ip("address", "add", "10.255.0.1/24", "dev", "near")
    for end in ("near", "far"):
        ip("link", "set", end, "up")
    # Its hardware address stays known, as it does for a while: a VM that is gone is not refused.
    ip("neighbour", "add", VM, "lladdr", "02:00:00:00:00:09", "dev", "near", "nud", "permanent")
    ip("address", "add", f"{VM}/32", "dev", "lo")
    return True


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


def watch(edge: Edge, servers: Servers) -> dict[str, object]:
    """Power the VM off under requests, and return what became of them, times in seconds."""
    edge.apply({"web-0": VM, "web-1": OTHER})
    servers.silent.add(VM)
    with ThreadPoolExecutor() as pool:
        get, post = (on_the_vm(edge, servers, pool, method) for method in ("GET", "POST"))
        off = time.monotonic()
        ip("address", "delete", f"{VM}/32", "dev", "lo")
        meanwhile = [pool.submit(answer, edge, "POST") for _ in range(4)]
        poll(lambda: edge.state("web-0")[0] == 0, 6)
        ejected = time.monotonic() - off
        (got, got_at), (posted, posted_at) = get.result(), post.result()
    posts = [each for each in servers.arrivals if each.method == "POST"]
    servers.wake.set()
    return {
        "ejected": round(ejected, 2),
        "get": (got, round(got_at - off, 2)),
        "post": (posted, round(posted_at - off, 2)),
        "meanwhile": sorted({request.result()[0] for request in meanwhile}),
        "posts_sent": max(servers.ids()[each.id] for each in posts),
    }


def main() -> int:
    """Make the network, watch, and print."""
    if not network():
        return NO_VETH
    servers = Servers(SERVER_PORT)
    with an_edge() as edge, servers.running(VM, OTHER):
        print(json.dumps(watch(edge, servers)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
