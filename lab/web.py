"""Requests to the edge as a client makes them: one connection each, no retry, no redirects."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

POLL_SECONDS = 0.1


class WebError(Exception):
    """The edge did not answer as it should have; the text says to what and how."""


def get(edge: str, url: str, timeout: float = 30.0) -> tuple[int, str]:
    """Return status and body of ``url``, asked of the edge at ``edge`` (``host:port``).

    Raises:
        WebError: There is no answer.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(edge, timeout=timeout)
    try:
        connection.request("GET", parts.path or "/", headers={"Host": parts.netloc})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise WebError(f"{url} at {edge}: {error or type(error).__name__}") from None
    finally:
        connection.close()


def await_ok(edge: str, url: str, seconds: float) -> str:
    """Return the body of the first 200 for ``url``.

    Raises:
        WebError: There was none within the time; the text has the last answer.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            status, body = get(edge, url)
            if status == 200:
                return body
            last = f"{url} at {edge}: status {status}"
        except WebError as error:
            last = str(error)
        if time.monotonic() > deadline:
            raise WebError(f"no 200 within {seconds:.0f} s; last: {last}")
        time.sleep(POLL_SECONDS)


def smoke(outputs: Mapping[str, Any], seconds: float) -> tuple[set[str], set[str]]:
    """Ask the edge until each container that should run has answered with its own name.

    Works for services whose root page is the container's host name, as the lab's ``hello``.

    Returns:
        The names that answered and the names that should have.
    """
    edge = outputs["edge"]["address"]
    expected: set[str] = set()
    answered: set[str] = set()
    deadline = time.monotonic() + seconds
    for service in outputs["services"].values():
        names = {slot for slots in service["containers"].values() for slot in slots}
        expected |= names
        while not names <= answered and time.monotonic() < deadline:
            try:
                status, body = get(edge, service["url"])
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
