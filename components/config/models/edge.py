"""The load balancer in front."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from components.config.models.base import (
    Duration,
    FilePath,
    Folder,
    HostAddress,
    HttpsUrl,
    Ipv4Address,
    Ipv4Interface,
    List,
    ListenAddress,
    MacAddress,
    Matching,
    Model,
    Name,
    Port,
    ProxyTime,
    Size,
    Switch,
    VmMemory,
)
from components.config.models.hosts import in_ascii, whole_key
from components.config.units import DURATION, parse_duration, parse_size

_HOST_KEY = r"(ssh-ed25519|ecdsa-sha2-nistp256|ssh-rsa) [A-Za-z0-9+/]{16,}={0,2}"


def _domain_in_ascii(value: str) -> str:
    in_ascii(value.rpartition("@")[2])
    return value


def _duration_or_false(value: object) -> int:
    return 0 if value is False else parse_duration(value)


_Off = Annotated[
    int,
    BeforeValidator(_duration_or_false),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": f"^(?:{DURATION})$"}, {"const": False}]}
    ),
]
"""Seconds; 0 for ``false``."""


def _count_or_false(value: object) -> object:
    return 0 if value is False else value


_CountOrOff = Annotated[
    Annotated[int, Field(ge=0, le=1_000_000)],
    BeforeValidator(_count_or_false),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 1_000_000}, {"const": False}]}
    ),
]
"""A number; 0 for ``false``."""


def _no_pem(value: object) -> object:
    if isinstance(value, str) and "-----BEGIN" in value:
        raise ValueError("must be the path of a PEM file on the edge's host, not its content")
    return value


_PemFile = Annotated[FilePath, BeforeValidator(_no_pem)]


class CertificateFiles(Model):
    """A certificate in PEM files on the edge's host."""

    fullchain: _PemFile = Field(
        description="The certificate and, after it, its chain.",
        examples=["/etc/ssl/example.org/fullchain.pem"],
    )
    privkey: _PemFile = Field(
        description="Its key, without a passphrase.",
        examples=["/etc/ssl/example.org/privkey.pem"],
    )


class Acme(Model):
    """Certificates from a server such as Let's Encrypt's, obtained and renewed by the edge.

    HAProxy answers the server's HTTP challenges on `edge.port`. By using this you agree to the
    server's terms.
    """

    email: Annotated[
        str,
        Field(max_length=254),
        AfterValidator(_domain_in_ascii),
        Matching(r"[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+", "an e-mail address such as ops@example.org"),
    ] = Field(
        description="The address that the server sends notices to.", examples=["ops@example.org"]
    )
    directory: HttpsUrl = Field(
        default="https://acme-v02.api.letsencrypt.org/directory",
        description="URL of the server's ACME directory.",
        examples=["https://acme-staging-v02.api.letsencrypt.org/directory"],
    )
    ca: FilePath | None = Field(
        default=None,
        description="PEM file of the CA of the server's own certificate, if the edge's host does"
        " not trust it already.",
        examples=["/etc/ssl/certs/company-ca.pem"],
    )


class Tls(Model):
    """HTTPS. The HTTP port then only redirects to it. All paths are on the edge's host."""

    port: Port = Field(default=443, description="The port of HTTPS.", examples=[443])
    folder: FilePath | None = Field(
        default=None,
        description="A folder whose subfolders each have `fullchain.pem` and `privkey.pem`, as"
        " Let's Encrypt's clients leave them.",
        examples=["/etc/letsencrypt/live"],
    )
    certificates: Annotated[tuple[CertificateFiles, ...], List] = Field(
        default=(),
        description="More certificates, a pair of files each.",
        examples=[
            [
                {
                    "fullchain": "/etc/ssl/example.org/fullchain.pem",
                    "privkey": "/etc/ssl/example.org/privkey.pem",
                }
            ]
        ],
    )
    self_signed: bool = Field(
        default=False,
        description="Give domains without a certificate one that the edge signs itself, which"
        " clients warn of. Otherwise such a domain is an error.",
        examples=[True],
    )
    hsts: _Off = Field(
        default=parse_duration("17520h"),
        json_schema_extra={"default": "17520h"},
        description="How long browsers use only HTTPS after a visit; `false` omits the header.",
        examples=["24h"],
    )
    acme: Acme | None = Field(
        default=None,
        description="Obtain certificates for the domains that no file covers.",
        examples=[{"email": "ops@example.org"}],
    )


class Stats(Model):
    """HAProxy's page (at `/`) and the metrics (`/metrics`, `/metrics/<vm>`)."""

    bind: ListenAddress = Field(
        default="127.0.0.1",
        description="The address to listen on. Everyone who can reach it can read the page.",
        examples=["192.0.2.80"],
    )
    port: Port = Field(default=8404, description="The port.", examples=[9101])


class EdgeVm(Model):
    """A VM for HAProxy alone, called `<farm.name>-edge`. It boots `farm.image` like the others."""

    vcpus: Annotated[int, Field(ge=1, le=255)] = Field(
        default=2, description="Its processors. Another number replaces it.", examples=[4]
    )
    memory: VmMemory = Field(
        default=parse_size("1GiB"),
        description="Its memory. Another size replaces it.",
        examples=["2GiB"],
    )
    disk: Size = Field(
        default=parse_size("8GiB"),
        description="Its disk, at least the image's size. Another size replaces it.",
        examples=["16GiB"],
    )
    address: Ipv4Interface | None = Field(
        default=None,
        description="Its address and prefix, which it keeps for good: in `farm.network.cidr`, by"
        " default the last one there; needed with a bridge. Another one replaces it.",
        examples=["10.90.0.254/24"],
    )
    mac: MacAddress | None = Field(
        default=None,
        description="Its MAC address; made from its name if not given. Another one replaces it.",
        examples=["52:54:00:00:00:20"],
    )


class Edge(Model):
    """HAProxy: on this machine, on `host` over SSH, or on its own VM."""

    bind: ListenAddress = Field(
        default="0.0.0.0",  # noqa: S104 - clients have to reach an edge
        description="The address to listen on.",
        examples=["192.0.2.80"],
    )
    port: Port = Field(default=80, description="The port of HTTP.", examples=[80])
    tls: Tls | None = Field(
        default=None,
        description="HTTPS, if given.",
        examples=[{"folder": "/etc/letsencrypt/live"}],
    )
    folder: Folder = Field(
        default="/var/lib/gatehouse",
        description="The folder for the edge's files; the stack's name is appended.",
        examples=["/srv/gatehouse"],
    )
    host: HostAddress | None = Field(
        default=None,
        description="Another machine as the edge, reached with your own `ssh`; this machine if not"
        " given.",
        examples=["edge.example.org"],
    )
    user: Name = Field(
        default="root",
        description="The user for SSH there; a user other than root needs sudo without a password.",
        examples=["root"],
    )
    ssh_port: Port = Field(default=22, description="Its SSH port.", examples=[22])
    host_key: (
        Annotated[
            str,
            Matching(_HOST_KEY, "a public host key such as `ssh-ed25519 AAAA…`, without a comment"),
            AfterValidator(whole_key),
        ]
        | None
    ) = Field(
        default=None,
        description="Its SSH host key, so that the first connection is verified already. Needed"
        " with `host`.",
        examples=[
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICDZWmBJxt0ifMPUQBmGSq7kB8/CXFJ1DfYxmsu6SzFY"
        ],
    )
    source: Ipv4Address | None = Field(
        default=None,
        description="The address from which the VMs see the edge. They trust only its headers with"
        " a client's address. Only needed where Gatehouse cannot find it out, such as behind NAT.",
        examples=["192.0.2.80"],
    )
    stats: Stats = Field(
        default=Stats(),
        description="HAProxy's own page, and metrics for Prometheus.",
        examples=[{"bind": "192.0.2.80", "port": 9101}],
    )
    vm: Annotated[EdgeVm | None, Switch()] = Field(
        default=None,
        description="Make a VM for the edge; `true` makes one with the defaults.",
        examples=[True],
    )
    max_connections: Annotated[int, Field(ge=100, le=1_000_000)] | None = Field(
        default=None,
        description="How many client connections the edge takes at once; it may take up to 230"
        " more. Others wait. By default 4096 for each GiB of its host's memory, limited by the"
        " host's file descriptors.",
        examples=[20_000],
    )
    client_connections: _CountOrOff = Field(
        default=1000,
        json_schema_extra={"default": 1000},
        description="How many connections, and how many requests in flight, one client may have at"
        " once: an IPv4 address, or a /64 of IPv6. `false` for no limit, as you need behind a"
        " proxy that all clients come through.",
        examples=[200],
    )
    ready_timeout: Duration = Field(
        default=parse_duration("2m"),
        description="How long new servers may take to pass their health check before an update"
        " fails and the old edge keeps serving.",
        examples=["5m"],
    )
    hard_stop_after: ProxyTime = Field(
        default=parse_duration("30m"),
        description="How long downloads, WebSockets and other long connections may outlive a reload"
        " of HAProxy. Each change of VMs or services reloads it.",
        examples=["2h"],
    )

    @property
    def here(self) -> bool:
        """Whether the edge is on the machine that the program runs on."""
        return self.host is None and self.vm is None

    @property
    def entrance(self) -> tuple[str, int]:
        """The scheme and port of services' URLs."""
        return ("http", self.port) if self.tls is None else ("https", self.tls.port)

    def origin(self, domain: str) -> str:
        """Return the origin (scheme, host and port) of a domain's URLs."""
        scheme, port = self.entrance
        suffix = "" if (scheme, port) in {("http", 80), ("https", 443)} else f":{port}"
        return f"{scheme}://{domain}{suffix}"
