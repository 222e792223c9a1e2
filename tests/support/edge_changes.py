"""Changes of the backend under load, and the requests that reached removed servers."""

import random
import time
from collections.abc import Iterator

from tests.support import edge_load
from tests.support.edge_driver import Edge
from tests.support.edge_load import Load, Servers

ADDRESSES = tuple(f"127.0.0.{last}" for last in range(21, 41))
KINDS = (
    *("new_connections", "keep_alive", "slow_keep_alive", "posts", "http2"),
    *("long_websocket", "short_websockets"),
)
"""Of clients, each of which takes part."""


def changing(times: int) -> Iterator[dict[str, str]]:
    """Yield pools: servers come, go, and change their addresses."""
    chance = random.Random(5)  # noqa: S311 - the same changes in each run
    last: dict[str, str] = {}
    for _ in range(times):
        pool = last
        while pool == last:
            names = chance.sample(["web-0", "web-1", "web-2"], k=chance.randint(1, 3))
            pool = dict(zip(names, chance.sample(ADDRESSES, k=len(names)), strict=True))
        yield pool
        last = pool


def changed_under_load(edge: Edge, servers: Servers, load: Load, times: int) -> list[str]:
    """Change the backend under load; return the requests that reached removed servers."""
    clients = (
        edge_load.new_connections,
        edge_load.keep_alive,
        edge_load.keep_alive,
        edge_load.http2,
        edge_load.posts,
        edge_load.posts,
        edge_load.long_websocket,
        edge_load.short_websockets,
        *[edge_load.slow_keep_alive] * 4,
    )
    absences: list[tuple[str, float, float]] = []
    since: dict[str, float] = {}
    with servers.running(*ADDRESSES):
        edge.apply({"web-0": ADDRESSES[0]})
        with load.running(*clients):
            for pool in changing(times):
                now = time.monotonic()
                back = since.keys() & set(pool.values())
                absences += [(address, since.pop(address), now) for address in back]
                edge.apply(pool)
                now = time.monotonic()
                for address in set(ADDRESSES) - set(pool.values()):
                    since.setdefault(address, now)
        end = time.monotonic()
    absences += [(address, start, end) for address, start in since.items()]
    return [
        f"{arrival}, sent {arrival.sent - start:.3f} s after {address} had left"
        for address, start, until in absences
        for arrival in servers.arrivals
        if arrival.address == address and start < arrival.sent and arrival.at < until
    ]


def lose_nothing(edge: Edge, servers: Servers) -> None:
    """Change the backend a hundred times under load, and check each request and its server.

    Raises:
        AssertionError: A request failed, arrived twice, or reached a server that had left.
    """
    load = Load(edge.entrance)
    strays = changed_under_load(edge, servers, load, 100)
    print(
        f"\n100 changes: {sum(load.done.values())} requests, {len(load.errors)} failed {load.done}"
    )
    assert load.errors == []
    assert strays == []
    assert set(servers.ids().values()) == {1}, "each arrives once"
    for kind in KINDS:
        assert load.done[kind] > 20, f"{kind} did take part"
