"""The edge's HTTP features for a service: limits, passwords, headers and others."""

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, WithJsonSchema

from components.config.models import reachable
from components.config.models.base import (
    Called,
    Domain,
    List,
    Matching,
    Model,
    ProxyTime,
    Size,
    Switch,
    printable,
    proxy_time,
)
from components.config.units import DURATION, parse_duration

HEADER_BYTES = 3000
"""Bytes for a service's headers, within HAProxy's reserve in a buffer for added headers."""

_TEXT = (
    *("text/html", "text/css", "text/plain", "text/xml", "text/javascript", "text/csv"),
    *("application/javascript", "application/json", "application/xml", "image/svg+xml"),
    *("application/manifest+json", "application/rss+xml", "application/atom+xml"),
)
"""Types of text. Other types are compressed already, or hardly shrink."""

_CRYPT = r"\$(?:5\$(?:rounds=([0-9]+)\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{43}|" + (
    r"6\$(?:rounds=([0-9]+)\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{86})"
)
_LEAST_ROUNDS, _MOST_ROUNDS = 1000, 10_000  # crypt(3)'s default; 2 ms for each request

_OWN_HEADERS = frozenset(
    (
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"),
        *("upgrade", "content-length", "content-encoding", "date", "set-cookie"),
    )
)


_ANSWER_HEADERS = frozenset(
    (
        *("www-authenticate", "proxy-authenticate", "authentication-info"),
        *("proxy-authentication-info", "retry-after", "location", "content-range"),
    )
)
"""Headers that only some answers need, also the edge's own; one value for all would be wrong."""

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
"""IPv4 clients as an IPv6 socket shows them."""


def _client_network(value: str) -> str:
    try:
        network = None if "%" in value else ipaddress.ip_network(value)  # no IPv6 zones
    except ValueError:
        network = None
    if network is None:
        raise ValueError("must be a network such as 192.0.2.0/24 or 2001:db8::/32, or an address")
    kind = reachable.within(network)
    if kind is not None:
        raise ValueError(f"must be a network that clients can be in; this one is {kind}")
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        ipv4 = ipaddress.IPv4Address(int(network.network_address) & 0xFFFF_FFFF)
        return f"{ipv4}/{network.prefixlen - _MAPPED.prefixlen}"
    return str(network)


def _crypt_hash(value: str) -> str:
    match = re.fullmatch(_CRYPT, value)
    if match is None:
        raise ValueError(
            "must be a SHA-256 or SHA-512 hash of crypt(3), as `openssl passwd -6` makes;"
            " slower hashes, such as bcrypt, would hold up the edge at each request"
        )
    rounds = match[1] or match[2]
    if rounds is not None and not _LEAST_ROUNDS <= int(rounds[:9]) <= _MOST_ROUNDS:
        raise ValueError(
            f"must have {_LEAST_ROUNDS} to {_MOST_ROUNDS} rounds, because each request takes them"
        )
    return value


def _header_name(value: str) -> str:
    if value.lower() in _OWN_HEADERS:
        raise ValueError("is set by HTTP itself; remove it")
    if value.lower() in _ANSWER_HEADERS:
        raise ValueError("belongs to the answer that needs it; remove it here")
    if value.lower() == "strict-transport-security":
        raise ValueError("is set by edge.tls.hsts; remove it here")
    if value.lower() == "x-request-id":
        raise ValueError("is set by the edge, anew for each request; remove it here")
    return value


def _header_value(value: object) -> object:
    if value is False:
        return value
    if not isinstance(value, str):
        raise ValueError("must be text, or false to remove the header")  # noqa: TRY004 - pydantic expects a ValueError
    if value == "":
        raise ValueError("must not be empty; false takes the header away")
    if value != printable(value).strip():
        raise ValueError("must not begin or end with a space")
    return value


_Header = Annotated[
    str,
    Matching(r"[A-Za-z][A-Za-z0-9-]{0,63}", "a header's name of letters, digits and hyphens"),
    AfterValidator(_header_name),
]
_Value = Annotated[
    str | Literal[False],
    PlainValidator(_header_value),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "minLength": 1}, {"const": False, "type": "boolean"}]}
    ),
]
_User = Annotated[
    str,
    Matching(
        r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}",
        "a user's name of letters, digits and any of . _ @ -, at most 64",
    ),
]
_CryptHash = Annotated[str, AfterValidator(_crypt_hash), Field(json_schema_extra={"secret": True})]
_Status = Annotated[
    str,
    Matching(
        r"401|403|408|413|429|502|503|504",
        "a status that the edge answers with: 401, 403, 408, 413, 429, 502, 503 or 504",
    ),
]
_LocalPath = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(printable)]
_MediaType = Annotated[
    str,
    Matching(r"[a-z]+/[a-z0-9][a-z0-9.+-]{0,99}", "a media type such as text/html, in lower case"),
]
_ClientNetwork = Annotated[str, AfterValidator(_client_network)]


def _time_or_off(value: object) -> int:
    return 0 if value is False else proxy_time(parse_duration(value))


_TimeOrOff = Annotated[
    int,
    BeforeValidator(_time_or_off),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": f"^(?:{DURATION})$"}, {"const": False}]}
    ),
]
"""Seconds; 0 for ``false``."""


def container_cookie(service: str) -> str:
    """Return the name of the cookie by which Traefik sends a client back to its container."""
    return f"gatehouse-{service}"


def vm_cookie(service: str) -> str:
    """Return the name of the cookie by which the edge sends a client back to its VM.

    It cannot be another service's `container_cookie`, because no service's name has an underscore.
    """
    return f"gatehouse-{service}_vm"


class RateLimit(Model):
    """The rate of requests that one client may send: an IPv4 address, or a /64 of IPv6."""

    requests: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        description="Requests within the window, at most.", examples=[100]
    )
    per: ProxyTime = Field(
        description="Length of the sliding window. A client that sends more gets a 429 with"
        " `Retry-After`, until its rate is below the limit again.",
        examples=["10s"],
    )


class Compression(Model):
    """The answers that the edge compresses."""

    types: Annotated[
        tuple[_MediaType, ...],
        Field(min_length=1, max_length=50),
        List,
    ] = Field(
        default=_TEXT,
        description="Media types of the answers to compress. By default those that are text: HTML,"
        " CSS, JavaScript, JSON, XML, SVG, CSV, plain text, web manifests and feeds.",
        examples=[["text/html", "application/wasm"]],
    )


class Http(Model):
    """What the edge does for a service's HTTP: off by default, except the two timeouts."""

    sticky: Annotated[
        bool,
        Called("ip_hash stickysession cookie lb_cookie sticky_sessions"),
    ] = Field(
        default=False,
        description="Send each client to the same container by cookies, and to another one if that"
        " container goes.",
        examples=[True],
    )
    balance: Annotated[
        Literal["roundrobin", "leastconn"], Called("least_conn lbmethod lb_policy")
    ] = Field(
        default="roundrobin",
        description="Load-balancing algorithm: each container in turn, or the one with the fewest"
        " requests in flight.",
        examples=["leastconn"],
    )
    rate_limit: Annotated[RateLimit | None, Called("limit_req limit_req_zone stick_table")] = Field(
        default=None,
        description="Limit of requests per client.",
        examples=[{"requests": 100, "per": "10s"}],
    )
    basic_auth: Annotated[
        dict[_User, _CryptHash],
        Field(min_length=1),
        Called(
            "AuthType AuthName AuthUserFile AuthBasicProvider auth_basic "
            "auth_basic_user_file basic_auth_users"
        ),
    ] = Field(
        default_factory=dict,
        description="Users and the hashes of their passwords, from `openssl passwd -6`: set them"
        " with `pulumi config set --secret --path`.",
        examples=[{"alice": {"secure": "v1:…"}}],
    )
    allow: Annotated[
        tuple[_ClientNetwork, ...],
        Field(min_length=1),
        List,
        Called("AllowFrom remote_ip ip_allow_list allowlist whitelist"),
    ] = Field(
        default=(),
        description="Networks and addresses whose clients are allowed; others get a 403.",
        examples=[["192.0.2.0/24", "2001:db8::/32"]],
    )
    maintenance: bool = Field(
        default=False,
        description="Answer every request with a 503, `Retry-After` and the page for 503 of"
        " `error_pages`, or a built-in one; health checks go on.",
        examples=[True],
    )
    error_pages: Annotated[
        dict[_Status, _LocalPath],
        Called("ErrorDocument error_page handle_errors error_pages_path"),
    ] = Field(
        default_factory=dict,
        description="HTML files for the edge's own answers, by status, on the machine that runs"
        " Gatehouse. Those for 502, 503 and 504 also replace the application's own answers.",
        examples=[{"503": "pages/sorry.html"}],
    )
    max_body: Annotated[
        Size | None,
        Called("LimitRequestBody client_max_body_size request_body max_size max_request_body"),
    ] = Field(
        default=None,
        description="The largest body of a request, with or without a declared length; a larger one"
        " gets a 413. No limit by default.",
        examples=["10MiB"],
    )
    body_timeout: Annotated[_TimeOrOff, Called("RequestReadTimeout client_body_timeout")] = Field(
        default=parse_duration("60s"),
        json_schema_extra={"default": "60s"},
        description="How long a request's body may lag behind 500 bytes/s before it gets a 408."
        " `false` for bodies that are slow by design: no limit, the default with `protocol: h2c`.",
        examples=["5m"],
    )
    timeout: Annotated[
        ProxyTime,
        Called(
            "ProxyTimeout proxy_read_timeout proxy_send_timeout timeout_server "
            "read_timeout fastcgi_read_timeout response_timeout"
        ),
    ] = Field(
        default=parse_duration("60s"),
        description="How long the service may stay silent while a client waits for it; then the"
        " client gets a 504.",
        examples=["5m"],
    )
    compression: Annotated[
        Compression | None,
        Switch(),
        Called(
            "gzip gzip_types encode AddOutputFilterByType SetOutputFilter compress "
            "DeflateCompressionLevel"
        ),
    ] = Field(
        default=None,
        description="Compress answers with gzip for clients that take it, if the application has"
        " not; `true` for all text. See [HTTP](http.md) on secrets in pages.",
        examples=[True, {"types": ["text/html", "application/wasm"]}],
    )
    aliases: Annotated[tuple[Domain, ...], List] = Field(
        default=(),
        description="More domains, which only redirect to the first of `hosts` that is not a"
        " wildcard, with path and query.",
        examples=[["www.example.net"]],
    )
    headers: Annotated[
        dict[_Header, _Value],
        Called("Header add_header more_set_headers expires response_headers"),
    ] = Field(
        default_factory=dict,
        description="Headers of all answers: a value to set, or `false` to remove one. The edge"
        " removes `Server` and `X-Powered-By` of applications unless they are set here.",
        examples=[{"X-Frame-Options": "DENY", "X-Generator": False}],
    )
    protocol: Annotated[Literal["http", "h2c"], Called("grpc_pass")] = Field(
        default="http",
        description="The container's protocol: HTTP/1.1, or HTTP/2 without TLS, as gRPC servers"
        " use it.",
        examples=["h2c"],
    )

    @property
    def least_rate_after(self) -> int:
        """The seconds that a body may lag behind the minimum rate; 0 for no limit.

        gRPC's streams may be silent, so `h2c` has a limit only if the config sets one.
        """
        unlimited = self.protocol == "h2c" and "body_timeout" not in self.model_fields_set
        return 0 if unlimited else self.body_timeout

    @property
    def counts_bodies(self) -> bool:
        """Whether the edge looks at the bodies of requests."""
        return not self.maintenance and bool(self.max_body or self.least_rate_after)

    @property
    def allow_ipv4(self) -> tuple[str, ...]:
        """The IPv4 networks of `allow`."""
        return tuple(each for each in self.allow if ":" not in each)

    @property
    def allow_ipv6(self) -> tuple[str, ...]:
        """The IPv6 networks of `allow`."""
        return tuple(each for each in self.allow if ":" in each)

    @property
    def headers_set(self) -> Mapping[str, str]:
        """The headers that have a value."""
        return {name: value for name, value in self.headers.items() if value is not False}

    @property
    def header_bytes(self) -> int:
        """The length in bytes of the headers with a value."""
        return sum(len(f"{name}: {value}\r\n".encode()) for name, value in self.headers_set.items())

    @property
    def headers_removed(self) -> tuple[str, ...]:
        """The headers to remove."""
        return tuple(name for name, value in self.headers.items() if value is False)
