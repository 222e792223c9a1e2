"""The forms that requests must have, as regular expressions for HAProxy.

Programs read odd requests in different ways, so the edge passes on only those with one meaning.
"""

_LABEL = "[A-Za-z0-9_-]{1,63}"
_PORT = "(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_HOST = f"(?![^:/?]{{255}})(?:{_LABEL}[.])*{_LABEL}[.]?(?::{_PORT})?"

HOST = f"^{_HOST}$"
"""The header ``Host``: a name, optionally with a port from 1 to 65535."""

ABSOLUTE, ORIGIN = "^[a-z][a-z0-9+.-]*://", f"^https?://{_HOST}(?:[/?]|$)"
"""Any target in absolute form, as HAProxy shows all of HTTP/2's, and a valid one; ignores case."""

BROKEN_PERCENT = "%(?![0-9A-Fa-f]{2})"
"""A percent sign that encodes nothing: programs keep it, drop it, or refuse the whole text."""

NOT_ASCII = "[^!-~]"
"""A character that no URL may have; HAProxy itself refuses all of them but DEL in HTTP/1.1."""

_PREFLIGHT_HEADERS = (
    *("host", "connection", "origin", "referer", "user-agent", "accept(-encoding|-language)?"),
    *("access-control-request-(method|headers|private-network|local-network)", "sec-[a-z0-9-]+"),
    *("cache-control", "pragma", "priority", "te", "dnt", "save-data", "content-length"),
    # Set by the edge, or by a CDN in front of it.
    *("x-forwarded-(for|proto|host|port)", "x-real-ip", "x-request-id", "via", "cdn-loop"),
    *("cf-(ray|visitor|ipcountry|ew-via|worker)", "x-amz-cf-id", "x-amzn-trace-id"),
    *("traceparent", "tracestate"),
)
PREFLIGHT_HEADERS = f"^(?:(?:{'|'.join(_PREFLIGHT_HEADERS)})(?:,|$))+$"
"""The names of the headers that a CORS preflight may have, with commas between them.

With a preflight, browsers send no cookie, password or body, and no header of the actual request.
"""

METHOD_PARAMETER = (
    "(?:^|[&;?])[^a-z0-9&;=]*(?:x[^a-z0-9&;=]*)?(?:http[^a-z0-9&;=]*)?"
    "method(?:[^a-z0-9&;=]*override)?[^a-z0-9&;=]*(?:[&;=]|$)"
)
"""A parameter of a decoded query that applications take for the method, such as ``_method``;
case-insensitive."""
