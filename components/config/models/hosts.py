"""Parse and check domains, addresses, networks and URLs as operators write them.

Each function returns the value, or raises ``ValueError`` with the rule that the value breaks.
"""

import base64
import ipaddress
import re
from urllib.parse import urlsplit

from components.config.models import reachable

LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
"""A part of a domain."""


def in_ascii(value: str) -> str:
    """Return a domain that has only ASCII, or raise ``ValueError`` with its ASCII form."""
    if value.isascii():
        return value
    written = in_punycode(value)
    hint = f"write {written}" if written else "an internationalized domain begins with xn--"
    raise ValueError(f"must be written in ASCII, as browsers send it; {hint}")


def alone(value: str) -> str:
    """Return a domain, or raise ``ValueError`` if it has other parts of a URL."""
    pattern = rf"(?:https?://)?((?:\*\.)?{LABEL}(?:\.{LABEL})*)\.?(?::[0-9]+)?(?:/.*)?"
    found = re.fullmatch(pattern, value.lower())
    if found is None or found[1] == value.lower():
        return value
    raise ValueError(
        f"must be a domain without scheme, port, path and final dot; did you mean {found[1]}?"
    )


def in_punycode(domain: str) -> str | None:
    """Return the ``xn--`` form of a domain or wildcard; None if it has none.

    This uses IDNA 2003, as Python's standard library does. Where IDNA 2008 differs (ß, ς, joiners),
    browsers disagree, and only the registrar knows.
    """
    if re.search("[ßẞς\u200c\u200d]", domain):
        return None
    try:
        written = domain.encode("idna").decode().lower()
    except UnicodeError:
        return None
    return written if re.fullmatch(rf"(\*\.)?{LABEL}(\.{LABEL})*", written) else None


def _ip(value: str) -> str:
    if "%" in value:  # an IPv6 zone: Python accepts any text as one
        raise ValueError("has a zone")
    return str(ipaddress.ip_address(value))


def address(value: str) -> str:
    """Return an IP address."""
    try:
        return _ip(value)
    except ValueError:
        raise ValueError("must be an IP address") from None


def of_a_machine(value: str) -> str:
    """Return an address that a machine can have."""
    return _checked(value, reachable.kind(ipaddress.ip_address(value)), "a machine's address")


def of_another_machine(value: str) -> str:
    """Return an address that other machines can reach."""
    kind = reachable.kind(ipaddress.ip_address(value), loopback=False)
    return _checked(value, kind, "the address of another machine")


def listened_on(value: str) -> str:
    """Return an address that a program can listen on."""
    given = ipaddress.ip_address(value)
    if given.version == 6 and given.is_link_local:  # Linux needs the interface too
        raise ValueError("must be an address to listen on; fe80::/10 needs an interface")
    if isinstance(given, ipaddress.IPv6Address) and given.ipv4_mapped is not None:
        raise ValueError(f"must be an address to listen on; write {given.ipv4_mapped} as IPv4")
    kind = None if given.is_unspecified else reachable.kind(given)
    return _checked(value, kind, "an address to listen on")


def _checked(value: str, kind: str | None, meaning: str) -> str:
    if kind is not None:
        raise ValueError(f"must be {meaning}; this one is {kind}")
    return value


def ipv4(value: str) -> str:
    """Return an IPv4 address."""
    try:
        return str(ipaddress.IPv4Address(value))
    except ValueError:
        raise ValueError("must be an IPv4 address") from None


def host(value: str) -> str:
    """Return a machine's domain or address."""
    in_ascii(value)
    if re.fullmatch(r"[0-9.]+|.*:.*", value) is None and re.fullmatch(
        rf"{LABEL}(\.{LABEL})*", value
    ):
        return value
    try:
        given = _ip(value)
    except ValueError:
        raise ValueError("must be an IP address or a domain in lower case") from None
    if ipaddress.ip_address(given).version == 6 and ipaddress.ip_address(given).is_link_local:
        raise ValueError("must not be in fe80::/10, which needs an interface")
    return of_a_machine(given)


def network(value: object) -> ipaddress.IPv4Network:
    """Return a network that machines can be in; an address alone is a network of one."""
    if isinstance(value, ipaddress.IPv4Network):
        return value
    try:
        found = ipaddress.IPv4Network(str(value))
    except ValueError:
        raise ValueError("must be an IPv4 network such as 10.90.0.0/24") from None
    kind = reachable.within(found, loopback=False)
    if kind is not None:
        raise ValueError(f"must be a network that machines can use; this one is {kind}")
    return found


def interface(value: object) -> ipaddress.IPv4Interface:
    """Return an address with its prefix, in a network that machines can be in."""
    if isinstance(value, ipaddress.IPv4Interface):
        return value
    try:
        found = ipaddress.IPv4Interface(str(value))
    except ValueError:
        raise ValueError("must be an address with its prefix, such as 192.0.2.10/24") from None
    if "/" not in str(value) or found.network.prefixlen > 30:
        raise ValueError("must be an address with its prefix, such as 192.0.2.10/24")
    special = reachable.overlapped(found.network)
    if special is not None:
        raise ValueError(f"must be in a network that machines can use; this one overlaps {special}")
    return found


def http_url(value: str) -> str:
    """Return a URL without a path."""
    return _url(value, r"https?://[A-Za-z0-9.:\[\]-]+/?", "http://192.0.2.1:5000")


def https_url(value: str) -> str:
    """Return a URL of HTTPS, perhaps with a path."""
    pattern = r"https://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~-]+)*/?"
    return _url(value, pattern, "https://acme.example.org/directory")


def _url(value: str, pattern: str, example: str) -> str:
    try:
        parts = urlsplit(value)
        name, usable = parts.hostname or "", parts.port != 0
    except ValueError:
        name, usable = "", False
    in_ascii(name)
    if not name or not usable or not re.fullmatch(pattern, value):
        raise ValueError(f"must be a URL such as {example}")
    try:
        host(name)
    except ValueError as error:
        raise ValueError(f"must be a URL such as {example}; its host {error}") from None
    return value


def card(value: str) -> str:
    """Return the MAC address of a network card."""
    if value == "00:00:00:00:00:00":
        raise ValueError("must be a network card's address, not all zeros")
    if value.startswith("fe:"):
        raise ValueError("must not begin with fe, which libvirt keeps for its own interfaces")
    return value


_ED25519_BYTES = 32


def whole_key(value: str) -> str:
    """Return a public SSH key, or raise ``ValueError`` if it is not complete.

    By RFC 4253, section 6.6, a key is a list of fields, each after its length. The first field is
    the algorithm.
    """
    algorithm, _, text = value.partition(" ")
    try:
        rest = base64.b64decode(text, validate=True)
    except ValueError:
        rest = b""
    fields: list[bytes] = []
    while rest:
        end = 4 + int.from_bytes(rest[:4], "big")
        if len(rest) < 4 or len(rest) < end:
            break
        fields.append(rest[4:end])
        rest = rest[end:]
    whole = len(fields) > 1 and not rest and all(fields)
    short = algorithm == "ssh-ed25519" and [len(each) for each in fields[1:]] != [_ED25519_BYTES]
    if not whole or short or fields[0] != algorithm.encode():
        raise ValueError(
            "must be a whole public host key, as `ssh-keyscan` and /etc/ssh/ssh_host_*_key.pub have"
            " it"
        )
    return value
