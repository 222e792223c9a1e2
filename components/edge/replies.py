"""The edge's own answers, which replace HAProxy's texts."""

from collections.abc import Mapping
from dataclasses import dataclass

from components.config.models.http import Http

MAINTENANCE_SECONDS = 300
"""The value of ``Retry-After``, in seconds."""

REPLACED = ("502", "503", "504")
"""Statuses whose page also replaces the answers of Traefik and the application."""

_HTML, _TEXT = "text/html; charset=utf-8", "text/plain; charset=utf-8"
_MAINTENANCE = (
    '<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">'
    "<title>Maintenance</title><h1>Down for maintenance</h1>"
    "<p>This site is being worked on. Please come back in a few minutes.</p></html>\n"
)
_TOO_MANY = "Too many requests: wait a moment and try again.\n"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer of the edge's own."""

    status: str
    content_type: str
    text: str
    file: str | None = None
    """Where HAProxy reads the text, below the edge's ``files``; else it is in haproxy.cfg."""
    retry_after: int | None = None
    """Seconds."""


def replies(name: str, http: Http, pages: Mapping[str, str]) -> tuple[Reply, ...]:
    """Return the answers for a service, by status.

    Args:
        name: The service's name.
        http: Its config.
        pages: The texts of its pages, by status.
    """
    retry = {}
    built_in = {}
    if http.rate_limit is not None:
        retry["429"] = http.rate_limit.per
        built_in["429"] = (_TEXT, _TOO_MANY)
    if http.maintenance:
        retry["503"] = MAINTENANCE_SECONDS
        built_in["503"] = (_HTML, _MAINTENANCE)
    made = [
        Reply(
            status=status,
            content_type=_HTML,
            text=text,
            file=f"errors/{name}-{status}.html",
            retry_after=retry.get(status),
        )
        for status, text in pages.items()
    ]
    made += [
        Reply(status=status, content_type=kind, text=text, retry_after=retry.get(status))
        for status, (kind, text) in built_in.items()
        if status not in pages
    ]
    return tuple(sorted(made, key=lambda reply: reply.status))
