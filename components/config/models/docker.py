"""Images, users, capabilities and memory limits, as Docker accepts them."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from components.config import spelling
from components.config.models.base import Matching, Size
from components.config.units import MEBIBYTE

_REGISTRY = (
    r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*(?::[0-9]{1,5})?/"
)
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_IMAGE_NAME_LIMIT = 255


def _docker_takes(value: str) -> str:
    """Return an image's name, or raise ``ValueError`` if Docker refuses or misreads it."""
    name = re.sub(r"(:[^:/@]*)?(@.*)?$", "", value, count=1)
    port = re.match(r"[^/]*:([0-9]+)/", value)
    if port is not None and not 1 <= int(port[1]) <= 65535:
        raise ValueError("must have a registry port from 1 to 65535")
    if len(name) > _IMAGE_NAME_LIMIT:
        raise ValueError(f"must have at most {_IMAGE_NAME_LIMIT} characters before the tag")
    if re.fullmatch(r"[0-9a-f]{64}", value):
        raise ValueError("must not be 64 hex digits, which Docker takes for an image's ID")
    if name == "scratch":
        raise ValueError("must be an image; scratch is Docker's name for an empty one")
    return value


ImageName = Annotated[
    str,
    Field(max_length=1000),
    Matching(
        rf"(?:{_REGISTRY})?{_COMPONENT}(?:/{_COMPONENT})*"
        r"(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?",
        "an image name such as matomo:5-apache or name@sha256:<64 hex digits>",
    ),
    AfterValidator(_docker_takes),
]
_NAME_OR_ID = r"([a-z_][a-z0-9_-]{0,31}|[0-9]{1,10})"
_LARGEST_ID = 2**31 - 1  # Docker's limit


def _in_range(value: str) -> str:
    if any(part.isdigit() and int(part) > _LARGEST_ID for part in value.split(":")):
        raise ValueError(f"must have a UID and GID of at most {_LARGEST_ID}")
    return value


User = Annotated[
    str,
    Matching(
        rf"{_NAME_OR_ID}(:{_NAME_OR_ID})?",
        "a user and perhaps a group, such as www-data or 1000:1000",
    ),
    AfterValidator(_in_range),
]
_CAPABILITIES = (
    *("AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE"),
    *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER"),
    *("KILL", "LEASE", "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN"),
    *("NET_BIND_SERVICE", "NET_BROADCAST", "NET_RAW", "PERFMON", "SETFCAP", "SETGID", "SETPCAP"),
    *("SETUID", "SYSLOG", "SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT", "SYS_MODULE", "SYS_NICE"),
    *("SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG"),
    "WAKE_ALARM",
)
"""From capabilities(7), without the prefix CAP_."""


def _capability(value: str) -> str:
    name = value.upper().removeprefix("CAP_")
    if name in _CAPABILITIES:
        return name
    near = spelling.nearest(name, _CAPABILITIES)
    hint = f"; did you mean {near}?" if near else ", such as CHOWN or SETUID"
    raise ValueError(f"must be one of Linux's capabilities{hint}")


_LEAST_MEMORY = 6 * MEBIBYTE  # Docker's limit


def _enough_memory(value: int) -> int:
    if value < _LEAST_MEMORY:
        raise ValueError("must be at least 6MiB, Docker's minimum")
    return value


Memory = Annotated[Size, AfterValidator(_enough_memory)]
Capability = Annotated[str, AfterValidator(_capability)]
