"""The load balancer in front."""

from typing import Annotated

from pydantic import AfterValidator, Field

from components.models.base import (
    Address,
    Duration,
    FilePath,
    HostAddress,
    Ipv4Interface,
    MacAddress,
    Matching,
    Model,
    Name,
    Port,
    Size,
    Switch,
)
from components.units import parse_duration, parse_size

_HOST_KEY = r"(ssh-ed25519|ecdsa-sha2-nistp256|ssh-rsa) [A-Za-z0-9+/]{16,}={0,2}"


# HAProxy holds times in 31 bits of milliseconds.
_LONGEST = parse_duration("596h")


def _haproxy_time(seconds: int) -> int:
    if seconds > _LONGEST:
        raise ValueError("must be at most 596h")
    return seconds


class EdgeVm(Model):
    """A VM for HAProxy alone, called `<farm.name>-edge`, made of `farm.image` like the others."""

    vcpus: Annotated[int, Field(ge=1, le=256)] = Field(
        default=2, description="Its processors. Another number replaces it.", examples=[4]
    )
    memory: Size = Field(
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
    """HAProxy: on this machine, on `host` over SSH, or on a VM of its own."""

    bind: Address = Field(
        default="0.0.0.0",  # noqa: S104 - an edge is there to be reached
        description="The address to listen on.",
        examples=["192.0.2.80"],
    )
    port: Port = Field(default=80, description="The port of HTTP.", examples=[80])
    folder: FilePath = Field(
        default="/var/lib/gatehouse",
        description="The folder for the edge's files; the stack's name is appended.",
        examples=["/srv/gatehouse"],
    )
    host: HostAddress | None = Field(
        default=None,
        description="Another machine to be the edge, reached as `ssh` reaches it from here; this"
        " one if not given.",
        examples=["edge.example.org"],
    )
    user: Name = Field(
        default="root",
        description="Who logs in there; anybody but root needs sudo without a password.",
        examples=["root"],
    )
    ssh_port: Port = Field(default=22, description="Its SSH port.", examples=[22])
    host_key: (
        Annotated[
            str,
            Matching(_HOST_KEY, "a public host key such as `ssh-ed25519 AAAA…`, without a comment"),
        ]
        | None
    ) = Field(
        default=None,
        description="Its SSH host key, so that the first connection is verified already. Needed"
        " with `host`.",
        examples=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHIcKmz9Q9KUrmNFcK0RkNqsAJYAow0cEEr0AA2keG"],
    )
    vm: Annotated[EdgeVm | None, Switch()] = Field(
        default=None,
        description="Make a VM to be the edge; `true` makes one with the defaults.",
        examples=[True],
    )
    ready_timeout: Duration = Field(
        default=parse_duration("2m"),
        description="How long new servers may take to pass their health check before an update"
        " fails and the old edge goes on.",
        examples=["5m"],
    )
    hard_stop_after: Annotated[Duration, AfterValidator(_haproxy_time)] = Field(
        default=parse_duration("30m"),
        description="How long downloads, WebSockets and other long connections may outlive a reload"
        " of HAProxy, which comes with each change of the VMs or services.",
        examples=["2h"],
    )
