"""Strictness, and types that several models share.

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

from components.models import reachable
from components.units import DURATION, MEBIBYTE, SIZE, parse_duration, parse_size

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
    """Return text of one line, or raise ``ValueError``.

    No layer below has a use for control characters, and some would act on them. Halves of surrogate
    pairs cannot be written.
    """
    return _without(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", "must be one line of text", value)


def lines(value: str) -> str:
    """Return text of one or several lines, or raise ``ValueError``.

    Linux takes any byte but NUL in variables and arguments. Of control characters only line ends
    and tabs are for text; the others are typing errors, or would act on a terminal that shows them.
    """
    pattern = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]"
    return _without(pattern, "must be text", value)


def _without(pattern: str, meaning: str, value: str) -> str:
    found = re.search(pattern, value)
    if found is None:
        return value
    raise ValueError(f"{meaning}; remove {_CALLED.get(found[0]) or _called(found[0])}")


_CALLED = {
    "\n": "the line end",
    "\r": "the line end (CR)",
    "\t": "the tab",
    "\0": "the NUL character",
}


def _called(character: str) -> str:
    kind = "control character" if ord(character) < 256 else "lone surrogate"
    return f"the {kind} U+{ord(character):04X}"


def in_ascii(value: str) -> str:
    """Return a domain that has only ASCII, or raise ``ValueError`` with its ASCII form."""
    if value.isascii():
        return value
    written = in_punycode(value)
    hint = f"write {written}" if written else "an internationalized domain begins with xn--"
    raise ValueError(f"must be written in ASCII, as browsers send it; {hint}")


def _alone(value: str) -> str:
    """Return a domain, or raise ``ValueError`` if it has other parts of a URL."""
    pattern = rf"(?:https?://)?((?:\*\.)?{_LABEL}(?:\.{_LABEL})*)\.?(?::[0-9]+)?(?:/.*)?"
    found = re.fullmatch(pattern, value.lower())
    if found is None or found[1] == value.lower():
        return value
    raise ValueError(
        f"must be a domain without scheme, port, path and final dot; did you mean {found[1]}?"
    )


def in_punycode(domain: str) -> str | None:
    """Return the ``xn--`` form of a domain or wildcard; None if it cannot be told.

    By IDNA 2003, which is what Python has. Where IDNA 2008 gives another answer, as for ß, ς and
    joiners, browsers disagree, and only the registrar knows.
    """
    if re.search("[ßẞς\u200c\u200d]", domain):
        return None
    try:
        written = domain.encode("idna").decode().lower()
    except UnicodeError:
        return None
    return written if re.fullmatch(rf"(\*\.)?{_LABEL}(\.{_LABEL})*", written) else None


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


def _of_a_machine(value: str) -> str:
    return _checked(value, reachable.kind(ipaddress.ip_address(value)), "a machine's address")


def _of_another_machine(value: str) -> str:
    kind = reachable.kind(ipaddress.ip_address(value), loopback=False)
    return _checked(value, kind, "the address of another machine")


def _listened_on(value: str) -> str:
    address = ipaddress.ip_address(value)
    if address.version == 6 and address.is_link_local:  # Linux wants the interface too
        raise ValueError("must be an address to listen on; fe80::/10 needs an interface")
    kind = None if address.is_unspecified else reachable.kind(address)
    return _checked(value, kind, "an address to listen on")


def _checked(value: str, kind: str | None, meaning: str) -> str:
    if kind is not None:
        raise ValueError(f"must be {meaning}; this one is {kind}")
    return value


def _ipv4(value: str) -> str:
    try:
        return str(ipaddress.IPv4Address(value))
    except ValueError:
        raise ValueError("must be an IPv4 address") from None


def _host(value: str) -> str:
    in_ascii(value)
    if re.fullmatch(r"[0-9.]+|.*:.*", value) is None and re.fullmatch(
        rf"{_LABEL}(\.{_LABEL})*", value
    ):
        return value
    try:
        address = _ip(value)
    except ValueError:
        raise ValueError("must be an IP address or a domain in lower case") from None
    if ipaddress.ip_address(address).version == 6 and ipaddress.ip_address(address).is_link_local:
        raise ValueError("must be an address that needs no interface, as fe80::/10 does")
    return _of_a_machine(address)


def _network(value: object) -> ipaddress.IPv4Network:
    if isinstance(value, ipaddress.IPv4Network):
        return value
    try:
        network = ipaddress.IPv4Network(str(value), strict=False)
    except ValueError:
        raise ValueError("must be an IPv4 network such as 10.90.0.0/24") from None
    first = str(value).partition("/")[0]
    if str(network.network_address) != first:
        raise ValueError(
            f"must be an IPv4 network such as 10.90.0.0/24; did you mean {network} or {first}/32?"
        )
    kind = reachable.within(network, loopback=False)
    if kind is not None:
        raise ValueError(f"must be a network of machines; this one is {kind}")
    return network


def _interface(value: object) -> ipaddress.IPv4Interface:
    if isinstance(value, ipaddress.IPv4Interface):
        return value
    try:
        interface = ipaddress.IPv4Interface(str(value))
    except ValueError:
        raise ValueError("must be an address with its prefix, such as 192.0.2.10/24") from None
    if "/" not in str(value) or interface.network.prefixlen > 30:
        raise ValueError("must be an address with its prefix, such as 192.0.2.10/24")
    special = reachable.overlapped(interface.network)
    if special is not None:
        raise ValueError(f"must be in a network of machines, which {special} is not")
    return interface


def _http_url(value: str) -> str:
    return _url(value, r"https?://[A-Za-z0-9.:\[\]-]+/?", "http://192.0.2.1:5000")


def _https_url(value: str) -> str:
    pattern = r"https://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~-]+)*/?"
    return _url(value, pattern, "https://acme.example.org/directory")


def _url(value: str, pattern: str, example: str) -> str:
    try:
        parts = urlsplit(value)
        host, usable = parts.hostname or "", parts.port != 0
    except ValueError:
        host, usable = "", False
    in_ascii(host)
    if not host or not usable or not re.fullmatch(pattern, value):
        raise ValueError(f"must be a URL such as {example}")
    try:
        _host(host)
    except ValueError as error:
        raise ValueError(f"must be a URL such as {example}; its host {error}") from None
    return value


# HAProxy holds times in 31 bits of milliseconds.
_LONGEST_PROXY_TIME = parse_duration("596h")


def proxy_time(seconds: int) -> int:
    """Return the seconds, or raise ``ValueError`` if HAProxy cannot hold them."""
    if seconds > _LONGEST_PROXY_TIME:
        raise ValueError("must be at most 596h")
    return seconds


_LONGEST = parse_duration("8760h")
_LEAST_MEMORY = 256 * MEBIBYTE


def _not_too_long(seconds: int) -> int:
    if seconds > _LONGEST:
        raise ValueError("must be at most 8760h, a year")
    return seconds


def _enough(memory: int) -> int:
    """Return a VM's memory, or raise ``ValueError`` if no Debian starts with it.

    An eighth stays for the VM itself, 128 MiB at least, and Docker gives containers no less than
    6 MiB.
    """
    if memory < _LEAST_MEMORY:
        raise ValueError("must be at least 256MiB, which a VM needs to start")
    return memory


def _card(value: str) -> str:
    if value == "00:00:00:00:00:00":
        raise ValueError("must be a network card's address, which all zeros is not")
    if value.startswith("fe:"):
        raise ValueError("must not begin with fe, which libvirt keeps for its own interfaces")
    return value


_FILES_OF_THE_KERNEL = ("/proc", "/sys", "/dev", "/run")


def _on_a_disk(value: str) -> str:
    for each in _FILES_OF_THE_KERNEL:
        if value == each or value.startswith(f"{each}/"):
            raise ValueError(f"must be a folder on a disk, which {each} is not")
    return value


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
    AfterValidator(in_ascii),
    AfterValidator(_alone),
    Matching(rf"{_LABEL}(\.{_LABEL})*", "a domain such as www.example.org, in lower case"),
]
HostPattern = Annotated[
    str,
    Field(max_length=_DOMAIN_LIMIT),
    AfterValidator(in_ascii),
    AfterValidator(_alone),
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
Folder = Annotated[FilePath, AfterValidator(_on_a_disk)]
"""A folder that outlives a reboot."""
Port = Annotated[int, Field(ge=1, le=65535)]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema({"type": "string", "pattern": f"^(?:{SIZE})$"}),
]
VmMemory = Annotated[Size, AfterValidator(_enough)]
Duration = Annotated[
    int,
    BeforeValidator(parse_duration),
    AfterValidator(_not_too_long),
    WithJsonSchema({"type": "string", "pattern": f"^(?:{DURATION})$"}),
]
ProxyTime = Annotated[Duration, AfterValidator(proxy_time)]
"""A duration that HAProxy keeps."""
Address = Annotated[str, AfterValidator(_address), AfterValidator(_of_a_machine)]
ListenAddress = Annotated[str, AfterValidator(_address), AfterValidator(_listened_on)]
Ipv4Address = Annotated[str, AfterValidator(_ipv4), AfterValidator(_of_another_machine)]
HostAddress = Annotated[str, AfterValidator(_host)]
Ipv4Network = Annotated[
    ipaddress.IPv4Network,
    BeforeValidator(_network),
    WithJsonSchema({"type": "string", "examples": ["192.0.2.0/24"]}),
]
"""Any IPv4 network; an address alone is a network of one."""
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
    AfterValidator(_card),
]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
HttpsUrl = Annotated[str, AfterValidator(_https_url)]
PrintableText = Annotated[str, AfterValidator(printable)]
Text = Annotated[str, AfterValidator(lines)]
"""Text of several lines."""
Secret = Annotated[
    str,
    AfterValidator(printable),
    Field(json_schema_extra={"secret": True}),
]
"""Text of one line that never appears in plain in the state, a log or an error."""
SecretText = Annotated[
    str,
    AfterValidator(lines),
    Field(json_schema_extra={"secret": True}),
]
"""The same of several lines."""
