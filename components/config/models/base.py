"""Strictness, and types that several models share.

Names and domains are allow-listed with ``fullmatch``, because they end up in HAProxy text, Traefik
rules and shell. Anything freer is quoted where it is used.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

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

from components.config.models import hosts
from components.config.units import DURATION, MEBIBYTE, SIZE, parse_duration, parse_size

_NO_DOTS = r"(?!\.{1,2}(?:/|$))"  # a part . or .. would lead to another path
_DOMAIN_LIMIT = 253  # DNS's limit


class Model(BaseModel):
    """Frozen, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


@dataclass(frozen=True)
class Matching:
    """Annotates text that has to match a pattern as a whole; the error is ``must be …``."""

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


@dataclass(frozen=True)
class Called:
    """Annotates a key with other tools' names for it, for errors about unknown keys.

    Case, hyphens and underscores do not count. Names that mean the key in one place only, or that
    mean several keys, are in ``components.config.vocabulary``.
    """

    words: str
    """The words, separated by spaces."""


class Switch:
    """Annotates an optional model: ``true`` means all its defaults, ``false`` means None."""

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

    No layer below needs control characters, and some would act on them. Lone surrogates cannot be
    encoded.
    """
    return _without(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", "must be one line of text", value)


def lines(value: str) -> str:
    """Return text of one or several lines, or raise ``ValueError``.

    Linux takes any byte but NUL in variables and arguments. The only control characters that belong
    in text are line ends and tabs. Others are typing errors, or would act on a terminal.
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


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


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
    """Return a VM's memory, or raise ``ValueError`` if it is too little for Debian.

    The VM itself keeps an eighth, at least 128 MiB, and Docker gives a container at least 6 MiB.
    """
    if memory < _LEAST_MEMORY:
        raise ValueError("must be at least 256MiB, which a VM needs to start")
    return memory


_FILES_OF_THE_KERNEL = ("/proc", "/sys", "/dev", "/run")


def _on_a_disk(value: str) -> str:
    for each in _FILES_OF_THE_KERNEL:
        if value == each or value.startswith(f"{each}/"):
            raise ValueError(f"must be a folder on a disk, which {each} is not")
    return value


List = BeforeValidator(_tuple)
"""Reads YAML's lists as tuples, so that a model is frozen at all levels."""

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
    AfterValidator(hosts.in_ascii),
    AfterValidator(hosts.alone),
    Matching(
        rf"{hosts.LABEL}(\.{hosts.LABEL})*", "a domain such as www.example.org, in lower case"
    ),
]
HostPattern = Annotated[
    str,
    Field(max_length=_DOMAIN_LIMIT),
    AfterValidator(hosts.in_ascii),
    AfterValidator(hosts.alone),
    Matching(
        rf"(\*\.)?{hosts.LABEL}(\.{hosts.LABEL})*",
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
"""A duration that HAProxy can hold."""
Address = Annotated[str, AfterValidator(hosts.address), AfterValidator(hosts.of_a_machine)]
ListenAddress = Annotated[str, AfterValidator(hosts.address), AfterValidator(hosts.listened_on)]
Ipv4Address = Annotated[str, AfterValidator(hosts.ipv4), AfterValidator(hosts.of_another_machine)]
HostAddress = Annotated[str, AfterValidator(hosts.host)]
Ipv4Network = Annotated[
    ipaddress.IPv4Network,
    BeforeValidator(hosts.network),
    WithJsonSchema({"type": "string", "examples": ["192.0.2.0/24"]}),
]
"""Any IPv4 network; an address alone is a network of one."""
Ipv4Interface = Annotated[
    ipaddress.IPv4Interface,
    BeforeValidator(hosts.interface),
    WithJsonSchema({"type": "string", "examples": ["192.0.2.10/24"]}),
]
MacAddress = Annotated[
    str,
    Matching(
        r"([0-9a-f]{2}:){5}[0-9a-f]{2}",
        "a MAC address such as 52:54:00:12:34:56, in lower case",
    ),
    AfterValidator(hosts.card),
]
HttpUrl = Annotated[str, AfterValidator(hosts.http_url)]
HttpsUrl = Annotated[str, AfterValidator(hosts.https_url)]
PrintableText = Annotated[str, AfterValidator(printable)]
Text = Annotated[str, AfterValidator(lines)]
"""Text of several lines."""
Secret = Annotated[
    str,
    AfterValidator(printable),
    Field(json_schema_extra={"secret": True}),
]
"""One line of text that never appears unencrypted in the state, a log or an error."""
SecretText = Annotated[
    str,
    AfterValidator(lines),
    Field(json_schema_extra={"secret": True}),
]
"""A secret of several lines."""
