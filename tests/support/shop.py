"""The service `shop` behind the edge on loopback, and what its clients ask."""

import subprocess
from typing import Any

from lab.loopback.site import Site
from tests.support.containers import App, Calls, Sockets
from tests.support.two_tiers import curl

SHOP = "http://shop.example.org"
H2 = "--http2-prior-knowledge"


def at(container: App | Sockets | Calls) -> str:
    return f"{container.address}:{container.port}"


def serve(site: Site, app: App, **http: Any) -> None:
    """Have the edge send requests for the service `shop` to one server."""
    stack = site.stack({"shop": {"http": http}})
    site.apply(stack, {"shop": {"web-0": at(app)}})


def hashed(password: str, algorithm: str = "-6") -> str:
    command = ("openssl", "passwd", algorithm, password)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def statuses(site: Site, times: int, *options: str) -> list[int]:
    return [curl(site, SHOP, *options).status for _ in range(times)]
