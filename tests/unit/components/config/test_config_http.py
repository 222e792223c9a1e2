"""The messages for wrong HTTP features of a service."""

import pytest

from tests.support.configs import APP, HTTP, Mistake, another, assert_refused

SIZES = "must be a size such as 512MiB, 2GiB or 1TiB"
DURATIONS = "must be a duration such as 30s, 10m or 1h30m"
HIDDEN = "(value hidden: it may be secret)"
HASH = f"$6$hunter2${'a' * 86}"
HASHES = (
    "must be a SHA-256 or SHA-512 hash of crypt(3), as `openssl passwd -6` makes; slower hashes,"
    " such as bcrypt, would hold up the edge at each request"
)
USERS = "must be a user's name of letters, digits and any of . _ @ -, at most 64"
NETWORKS = "must be a network such as 192.0.2.0/24 or 2001:db8::/32, or an address"

MISTAKES: list[Mistake] = [
    # HTTP.
    (
        f"{HTTP}/stiky",
        True,
        "services.app.http.stiky: unknown key; did you mean sticky? (got true)",
    ),
    (
        f"{HTTP}/balance",
        "random",
        "services.app.http.balance: must be 'roundrobin' or 'leastconn' (got random)",
    ),
    (
        f"{HTTP}/protocol",
        "grpc",
        "services.app.http.protocol: must be 'http' or 'h2c' (got grpc)",
    ),
    (
        f"{HTTP}/rate_limit",
        {"requests": 0, "per": "10s"},
        "services.app.http.rate_limit.requests: must be at least 1 (got 0)",
    ),
    (
        f"{HTTP}/rate_limit",
        {"requests": 1, "per": "600h"},
        "services.app.http.rate_limit.per: must be at most 596h (got 600h)",
    ),
    (
        f"{HTTP}/rate_limit",
        {"requests": 1},
        "services.app.http.rate_limit.per: is required (got nothing)",
    ),
    (f"{HTTP}/timeout", "1", f'services.app.http.timeout: {DURATIONS}; did you mean 1s? (got "1")'),
    (
        f"{HTTP}/max_body",
        "10MB",
        f"services.app.http.max_body: {SIZES}; did you mean 10MiB? (got 10MB)",
    ),
    (
        f"{HTTP}/allow",
        [],
        "services.app.http.allow: must have at least 1 entry (got an empty list)",
    ),
    (
        f"{HTTP}/allow",
        ["192.0.2.1/24"],
        f"services.app.http.allow.0: {NETWORKS}; did you mean 192.0.2.0/24 or 192.0.2.1?"
        " (got 192.0.2.1/24)",
    ),
    (
        f"{HTTP}/allow",
        ["fe80::1%eth0"],
        f"services.app.http.allow.0: {NETWORKS} (got fe80::1%eth0)",
    ),
    (
        f"{HTTP}/allow",
        ["10.0.0.1", "10.0.0.1/32"],
        "services.app.http.allow.1: is given twice (got 10.0.0.1/32)",
    ),
    (f"{HTTP}/basic_auth", {"a:b": HASH}, f"services.app.http.basic_auth.a:b: {USERS} (got a:b)"),
    (f"{HTTP}/basic_auth", {"a": "hunter2"}, f"services.app.http.basic_auth.a: {HASHES} {HIDDEN}"),
    (
        f"{HTTP}/basic_auth",
        {"a": "$2y$10$hunter2hunter2hunter2hunter2hunter2hunter2hunter2hunt"},
        f"services.app.http.basic_auth.a: {HASHES} {HIDDEN}",
    ),
    (f"{HTTP}/basic_auth", {"a": f"{HASH} "}, f"services.app.http.basic_auth.a: {HASHES} {HIDDEN}"),
    (
        f"{HTTP}/basic_auth",
        {"a": f"$6$rounds=5000000$hunter2${'a' * 86}"},
        "services.app.http.basic_auth.a: must have 1000 to 10000 rounds, because each request"
        f" takes them {HIDDEN}",
    ),
    (
        f"{HTTP}/basic_auth",
        {},
        f"services.app.http.basic_auth: must have at least 1 entry {HIDDEN}",
    ),
    (
        f"{HTTP}/basic_auht",
        {"a": "hunter2"},
        f"services.app.http.basic_auht: unknown key; did you mean basic_auth? {HIDDEN}",
    ),
    (
        f"{HTTP}/error_pages",
        {"404": "a.html"},
        "services.app.http.error_pages.404: must be a status that the edge answers with: 401, 403,"
        ' 408, 413, 429, 502, 503 or 504 (got "404")',
    ),
    (
        f"{HTTP}/error_pages",
        {503: "a.html"},
        "services.app.http.error_pages.503: must be text; put it in quotes (got 503)",
    ),
    (
        f"{HTTP}/error_pages",
        {"503": ""},
        'services.app.http.error_pages.503: must not be empty (got "")',
    ),
    (
        f"{HTTP}/headers",
        {"X Y": "a"},
        'services.app.http.headers."X Y": must be a header\'s name of letters, digits and hyphens'
        " (got X Y)",
    ),
    (
        f"{HTTP}/headers",
        {"Content-Length": "1"},
        "services.app.http.headers.Content-Length: is set by HTTP itself; remove it"
        " (got Content-Length)",
    ),
    (
        f"{HTTP}/headers",
        {"WWW-Authenticate": False},
        "services.app.http.headers.WWW-Authenticate: belongs to the answer that needs it; remove"
        " it here (got WWW-Authenticate)",
    ),
    (
        f"{HTTP}/compression",
        {"types": [f"text/x-{number}" for number in range(51)]},
        "services.app.http.compression.types: must have at most 50 entries (got a list)",
    ),
    (
        f"{HTTP}/headers",
        {"Strict-Transport-Security": "max-age=1"},
        "services.app.http.headers.Strict-Transport-Security: is set by edge.tls.hsts; remove it"
        " here (got Strict-Transport-Security)",
    ),
    (
        f"{HTTP}/headers",
        {"x-request-id": False},
        "services.app.http.headers.x-request-id: is set by the edge, anew for each request;"
        " remove it here (got x-request-id)",
    ),
    (
        f"{HTTP}/headers",
        {"X-A": True},
        "services.app.http.headers.X-A: must be text, or false to remove the header (got true)",
    ),
    (
        f"{HTTP}/headers",
        {"X-A": "a\nSet-Cookie: b"},
        "services.app.http.headers.X-A: must be one line of text; remove the line end (got"
        ' "a\\nSet-Cookie: b")',
    ),
    (
        f"{HTTP}/headers",
        {"X-A": ""},
        'services.app.http.headers.X-A: must not be empty; false takes the header away (got "")',
    ),
    (
        f"{HTTP}/headers",
        {"X-A": " a"},
        "services.app.http.headers.X-A: must not begin or end with a space (got  a)",
    ),
    (
        f"{HTTP}/headers",
        {"X-A": "a", "x-a": False},
        "services.app.http.headers.x-a: is given twice; upper and lower case are the same in"
        " headers (got x-a)",
    ),
    (
        f"{HTTP}/headers",
        {"X-A": "a" * 2000, "X-B": "b" * 2000},
        "services.app.http.headers: have 4014 bytes together, and HAProxy's buffer has room for"
        " 3000 (got a map)",
    ),
    (
        f"{APP}/health/timeout",
        "597h",
        "services.app.health.timeout: must be at most 596h (got 597h)",
    ),
    (
        f"{HTTP}/body_timeout",
        "597h",
        "services.app.http.body_timeout: must be at most 596h (got 597h)",
    ),
    (
        f"{HTTP}/aliases",
        ["*.example.net"],
        "services.app.http.aliases.0: must be a domain such as www.example.org, in lower case"
        " (got *.example.net)",
    ),
    (
        f"{HTTP}/aliases",
        ["b.example.net", "b.example.net"],
        "services.app.http.aliases.1: is given twice (got b.example.net)",
    ),
    (
        f"{HTTP}/aliases",
        ["a.example.org"],
        "services.app.http.aliases.0: is served by services.app, and an alias only redirects"
        " (got a.example.org)",
    ),
    (
        "services/shop",
        another(http={"aliases": ["a.example.org"]}),
        "services.shop.http.aliases.0: is served by services.app, and an alias only redirects"
        " (got a.example.org)",
    ),
    (
        APP,
        another(hosts=["*.example.org"], http={"aliases": ["b.example.net"]}),
        "services.app.http.aliases: redirect to a domain without `*`, and services.app.hosts has"
        " none; add one"
        " (got b.example.net)",
    ),
    ("edge/host", "Edge", "edge.host: must be an IP address or a domain in lower case (got Edge)"),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: str(mistake[:2])[:50])
def test_a_mistake_is_reported_by_its_path(mistake: Mistake) -> None:
    assert_refused(mistake)
