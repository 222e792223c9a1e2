"""What all models share: strictness, and the types that several of them use.

Names and domains are allow-listed with ``fullmatch``, because they end up in HAProxy text, Traefik
rules and shell. Anything freer is quoted where it is used.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic_core import core_schema

from components.units import DURATION, SIZE, parse_duration, parse_size

_NO_DOTS = r"(?!\.{1,2}(?:/|$))"  # a part that is . or .. means another path than it says
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN_LIMIT = 253  # DNS has room for no more


class Model(BaseModel):
    """Frozen, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


@dataclass(frozen=True)
class Matching:
    """Annotates text that the whole pattern has to match; else the error says ``must be …``."""

    pattern: str
    meaning: str

    def check(self, value: str) -> str:
        """Return the text, or raise ``ValueError``."""
        if re.fullmatch(self.pattern, value) is None:
            raise ValueError(f"must be {self.meaning}")
        return value

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "pattern": f"^(?:{self.pattern})$"}


class Switch:
    """Annotates an optional model: ``true`` is one with all its defaults, ``false`` is none."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self._read, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        made = handler(schema)
        models = [each for each in made["anyOf"] if each.get("type") != "null"]
        return {"anyOf": [{"type": "boolean"}, *models]}

    @staticmethod
    def _read(value: object) -> object:
        if isinstance(value, bool):
            return {} if value else None
        if isinstance(value, BaseModel | Mapping):
            return value
        raise ValueError("must be true, false or a map of keys")


def printable(value: str) -> str:
    """Refuse control characters, which no layer below has a use for and some would act on.

    And halves of surrogate pairs, which cannot be written.
    """
    if re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", value):
        raise ValueError("must not have control characters")
    return value


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _ip(value: str) -> str:
    if "%" in value:  # an IPv6 zone, which Python takes any text for
        raise ValueError("has a zone")
    return str(ipaddress.ip_address(value))


def _address(value: str) -> str:
    try:
        return _ip(value)
    except ValueError:
        raise ValueError("must be an IP address") from None


def _ipv4(value: str) -> str:
    try:
        return str(ipaddress.IPv4Address(value))
    except ValueError:
        raise ValueError("must be an IPv4 address") from None


def _host(value: str) -> str:
    if re.fullmatch(r"[0-9.]+|.*:.*", value) is None and re.fullmatch(
        rf"{_LABEL}(\.{_LABEL})*", value
    ):
        return value
    try:
        return _ip(value)
    except ValueError:
        raise ValueError("must be an IP address or a domain in lower case") from None


def _network(value: object) -> ipaddress.IPv4Network:
    try:
        network = ipaddress.IPv4Network(str(value))
    except ValueError:
        raise ValueError("must be an IPv4 network such as 10.90.0.0/24") from None
    if network.prefixlen > 29:
        raise ValueError("must have room for VMs: a prefix of /29 or shorter")
    return network


def _interface(value: object) -> ipaddress.IPv4Interface:
    try:
        interface = ipaddress.IPv4Interface(str(value))
    except ValueError:
        raise ValueError("must be an address with its prefix, such as 192.0.2.10/24") from None
    if "/" not in str(value) or interface.network.prefixlen > 30:
        raise ValueError("must be an address with its prefix, such as 192.0.2.10/24")
    return interface


def _http_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.hostname and parts.port != 0
    except ValueError:
        usable = None
    if not usable or not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]+/?", value):
        raise ValueError("must be a URL such as http://192.0.2.1:5000")
    return value


def _https_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.hostname and parts.port != 0
    except ValueError:
        usable = None
    pattern = r"https://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~-]+)*/?"
    if not usable or not re.fullmatch(pattern, value):
        raise ValueError("must be a URL such as https://acme.example.org/directory")
    return value


# HAProxy holds times in 31 bits of milliseconds.
_LONGEST_PROXY_TIME = parse_duration("596h")


def proxy_time(seconds: int) -> int:
    """Return the seconds, or raise ``ValueError`` if HAProxy cannot hold them."""
    if seconds > _LONGEST_PROXY_TIME:
        raise ValueError("must be at most 596h")
    return seconds


List = BeforeValidator(_tuple)
"""YAML's lists are read as tuples, so that a model is frozen through and through."""

Name = Annotated[
    str,
    Matching(
        r"[a-z]([a-z0-9-]{0,28}[a-z0-9])?",
        "lower-case letters, digits and hyphens, at most 30, a letter first",
    ),
]
Domain = Annotated[
    str,
    Field(max_length=_DOMAIN_LIMIT),
    Matching(rf"{_LABEL}(\.{_LABEL})*", "a domain such as www.example.org, in lower case"),
]
HostPattern = Annotated[
    str,
    Field(max_length=_DOMAIN_LIMIT),
    Matching(
        rf"(\*\.)?{_LABEL}(\.{_LABEL})*",
        "a domain such as www.example.org or *.example.org, in lower case",
    ),
]
UrlPath = Annotated[
    str,
    Field(max_length=1024),
    Matching(
        rf"/|(/{_NO_DOTS}[A-Za-z0-9._~-]+)+/?",
        "a path such as /shop: letters, digits and any of . _ ~ - between single slashes",
    ),
]
FilePath = Annotated[
    str,
    Field(max_length=1024),
    Matching(
        rf"(/{_NO_DOTS}[A-Za-z0-9._-]+)+",
        "an absolute path of letters, digits and any of . _ - between single slashes",
    ),
]
Port = Annotated[int, Field(ge=1, le=65535)]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema({"type": "string", "pattern": f"^(?:{SIZE})$"}),
]
Duration = Annotated[
    int,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "pattern": f"^(?:{DURATION})$"}),
]
ProxyTime = Annotated[Duration, AfterValidator(proxy_time)]
"""A duration that HAProxy keeps."""
Address = Annotated[str, AfterValidator(_address)]
Ipv4Address = Annotated[str, AfterValidator(_ipv4)]
HostAddress = Annotated[str, AfterValidator(_host)]
Ipv4Network = Annotated[
    ipaddress.IPv4Network,
    BeforeValidator(_network),
    WithJsonSchema({"type": "string", "examples": ["10.90.0.0/24"]}),
]
Ipv4Interface = Annotated[
    ipaddress.IPv4Interface,
    BeforeValidator(_interface),
    WithJsonSchema({"type": "string", "examples": ["192.0.2.10/24"]}),
]
MacAddress = Annotated[
    str,
    Matching(
        r"([0-9a-f]{2}:){5}[0-9a-f]{2}",
        "a MAC address such as 52:54:00:12:34:56, in lower case",
    ),
]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
HttpsUrl = Annotated[str, AfterValidator(_https_url)]
PrintableText = Annotated[str, AfterValidator(printable)]
Secret = Annotated[
    str,
    AfterValidator(printable),
    Field(json_schema_extra={"secret": True}),
]
"""Text that never appears in plain in the state, a log or an error."""
