"""The plan of a run: its requests, target and rate, as plain values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, ip_address
from itertools import pairwise
from pathlib import Path

ALLOWED = tuple(IPv4Network(each) for each in ("127.0.0.0/8", "198.18.0.0/15", "10.90.0.0/16"))
"""The only networks that get load: loopback, the lab's edge and its VMs."""

MOST_RATE = 2000.0
"""Requests per second: about what one process makes on one core."""


class LoadError(Exception):
    """The load is refused; the text says why, and what is allowed."""


class ClientKind(StrEnum):
    """A kind of client."""

    KEEP_ALIVE = "keep-alive"
    NEW = "new connection"
    HTTP2 = "http/2"
    POST = "post"
    WEBSOCKET = "websocket"


SHARES: Mapping[ClientKind, int] = {
    ClientKind.KEEP_ALIVE: 8,
    ClientKind.NEW: 5,
    ClientKind.HTTP2: 5,
    ClientKind.POST: 2,
}
"""Each kind's share of 20 requests. A POST takes 1 to 2 s, so one is in flight for about each 7/s.
There are no WebSockets, because the lab's applications do not speak them."""


@dataclass(frozen=True, kw_only=True)
class LoadPlan:
    """One run of the load generator."""

    address: str
    port: int
    host: str
    """The Host header."""
    rate: float
    """Requests/s, of all clients together."""
    body: re.Pattern[str]
    """The expected body of an answer to ``GET /``."""
    timeout: float = 10.0
    """Seconds from when a request and its whole body were due until its answer is complete."""
    most_requests: int = 100_000
    most_seconds: float = 3600.0
    most_open: int = 1000
    """Most requests in flight; one more that is due is not sent and counts as failed."""
    connections: int = 4
    """How many connections the keep-alive client opens before it reuses one."""
    shares: Mapping[ClientKind, int] = field(default_factory=lambda: SHARES)
    post_seconds: tuple[float, float] = (1.0, 2.0)
    """The shortest and the longest time over which the body of a POST is sent."""
    post_pieces: int = 5
    post_bytes: int = 2048
    trusted: Path | None = None
    """For HTTPS: a PEM file with trusted certificates, or a folder of them; None for HTTP."""

    def __post_init__(self) -> None:
        if not 0 < self.rate <= MOST_RATE:
            raise LoadError(f"rate: must be above 0 and at most {MOST_RATE:g}/s (got {self.rate})")
        check_address(self.address)

    def sending_seconds(self, kind: ClientKind, number: int) -> float:
        """Return how long the sending of request ``number`` is spread over."""
        if kind not in (ClientKind.POST, ClientKind.WEBSOCKET):
            return 0.0
        low, high = self.post_seconds
        return low + (high - low) * (number * 7 % 11) / 10


def check_address(address: str) -> None:
    """Refuse load on any address but loopback and a lab's.

    Raises:
        LoadError: The address is another one.
    """
    if not any(ip_address(address) in network for network in ALLOWED):
        allowed = ", ".join(str(network) for network in ALLOWED)
        raise LoadError(
            f"target: {address}: load goes to loopback and to a lab's addresses only ({allowed})"
        )


def target(text: str) -> tuple[str, int]:
    """Return address and port of ``address:port``.

    Raises:
        LoadError: The text is something else. A name is not resolved: it may point anywhere.
    """
    address, _, port = text.rpartition(":")
    try:
        ip_address(address)
        return address, int(port)
    except ValueError:
        raise LoadError(
            f"target: {text!r}: must be address:port, for example 198.18.0.1:80"
        ) from None


def mixed(shares: Mapping[ClientKind, int]) -> Iterator[ClientKind]:
    """Yield kinds for ever, each according to its share, and as evenly as possible."""
    total = sum(shares.values())
    credit = dict.fromkeys(shares, 0)
    while True:
        for kind, share in shares.items():
            credit[kind] += share
        chosen = max(credit, key=lambda kind: credit[kind])
        credit[chosen] -= total
        yield chosen


def post_body(identity: str, size: int) -> bytes:
    """Return a body of ``size`` bytes that no other request has."""
    text = f"{identity}.".encode()
    return (text * (size // len(text) + 1))[:size]


def pieces(body: bytes, count: int) -> list[bytes]:
    """Return ``body`` cut into ``count`` parts; none is empty if it has enough bytes."""
    cuts = [len(body) * index // count for index in range(count + 1)]
    return [body[start:end] for start, end in pairwise(cuts)]
