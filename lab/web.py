"""Requests to the edge as a client makes them: one connection each, no retry, no redirects."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lab.trust import context

POLL_SECONDS = 0.1
TAKEN_SECONDS = 3.0
"""Seconds. By then the edge has tried several servers, and knows that none takes a connection."""
TCP = "tcp://"


class WebError(Exception):
    """The edge did not answer as it should have; the text says to what and how."""


class _Https(http.client.HTTPConnection):
    """A connection to an address, for another name."""

    def __init__(self, edge: str, name: str, trusted: Path | str, timeout: float) -> None:
        super().__init__(edge, timeout=timeout)
        self._name = name
        self._tls = context(Path(trusted))

    def connect(self) -> None:
        """Connect, and verify that the name is the server's."""
        plain = socket.create_connection((self.host, self.port), self.timeout)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self._name)


def get(
    edge: str, url: str, trusted: Path | str | None = None, timeout: float = 30.0
) -> tuple[int, str]:
    """Return status and body of ``url``.

    Args:
        edge: ``host:port`` of the edge, which is asked.
        url: ``http`` or ``https``.
        trusted: For ``https``: a PEM file with certificates to trust, or a folder of such files.
        timeout: In seconds.

    Raises:
        WebError: No answer came, or the certificate is not trusted.
    """
    try:
        return _get(edge, url, trusted, timeout)
    except (OSError, http.client.HTTPException) as error:
        raise WebError(f"{url} at {edge}: {error or type(error).__name__}") from None


def _get(edge: str, url: str, trusted: Path | str | None, timeout: float) -> tuple[int, str]:
    parts = urlsplit(url)
    if parts.scheme == "http":
        connection = http.client.HTTPConnection(edge, timeout=timeout)
    elif trusted is not None:
        connection = _Https(edge, parts.hostname or "", trusted, timeout)
    else:
        raise WebError(f"{url}: https needs the certificates to trust")
    try:
        connection.request("GET", parts.path or "/", headers={"Host": parts.netloc})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


def await_ok(edge: str, url: str, seconds: float, trusted: Path | None = None) -> tuple[int, str]:
    """Return status and body of the first 200 for ``url``; ``trusted`` as in ``get``.

    Or of the first 401, with which the edge answers for a service that takes a login.

    Raises:
        WebError: There was none within the time; the text has the last answer.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            status, body = get(edge, url, trusted)
            if status in (200, 401):
                return status, body
            last = f"{url} at {edge}: status {status}"
        except WebError as error:
            last = str(error)
        if time.monotonic() > deadline:
            raise WebError(f"no 200 within {seconds:.0f} s; last: {last}")
        time.sleep(POLL_SECONDS)


def await_taken(url: str, seconds: float) -> None:
    """Wait until a TCP service takes a connection and keeps it, whatever its protocol.

    Raises:
        WebError: It does not within the time.
    """
    parts = urlsplit(url)
    deadline = time.monotonic() + seconds
    while True:
        try:
            with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
                # The edge takes any connection, and closes it if no container does.
                connection.settimeout(TAKEN_SECONDS)
                with contextlib.suppress(TimeoutError):  # it waits for the client to begin
                    if not connection.recv(1):
                        raise ConnectionError("it was closed at once")
                return
        except OSError as error:
            last = str(error)
        if time.monotonic() > deadline:
            raise WebError(f"{url}: no container takes a connection within {seconds:.0f} s: {last}")
        time.sleep(POLL_SECONDS)


def smoke(
    outputs: Mapping[str, Any], seconds: float, trusted: Path | None = None
) -> tuple[set[str], set[str]]:
    """Ask the edge until each container that should run has answered with its own name.

    Works for services whose root page is the container's host name, as the lab's ``hello``. A TCP
    service has to take a connection, and is in the result by its URL. ``trusted`` as in ``get``.

    Returns:
        The names that answered and the names that should have.
    """
    edge = outputs["edge"]["address"]
    expected: set[str] = set()
    answered: set[str] = set()
    deadline = time.monotonic() + seconds
    for service in outputs["services"].values():
        if service["url"].startswith(TCP):
            expected.add(service["url"])
            try:
                await_taken(service["url"], max(0, deadline - time.monotonic()))
            except WebError:
                continue
            answered.add(service["url"])
            continue
        names = {slot for slots in service["containers"].values() for slot in slots}
        expected |= names
        while not names <= answered and time.monotonic() < deadline:
            try:
                status, body = get(edge, service["url"], trusted)
            except WebError:
                time.sleep(POLL_SECONDS)
                continue
            if status == 200 and body.strip() in names:
                answered.add(body.strip())
            else:
                time.sleep(POLL_SECONDS)
    return answered, expected


def missing_line(answered: Iterable[str], expected: Iterable[str]) -> str | None:
    """Return a line that names who did not answer, or None if all did."""
    missing = sorted(set(expected) - set(answered))
    return f"no answer from: {', '.join(missing)}" if missing else None
