"""The load balancer in front."""

from typing import Annotated

from pydantic import Field

from components.models.base import (
    Address,
    Duration,
    FilePath,
    HostAddress,
    Ipv4Address,
    Matching,
    Model,
    Name,
    Port,
    ProxyTime,
)
from components.units import parse_duration

_HOST_KEY = r"(ssh-ed25519|ecdsa-sha2-nistp256|ssh-rsa) [A-Za-z0-9+/]{16,}={0,2}"


class Stats(Model):
    """Where HAProxy's page (at `/`) and the metrics (`/metrics`, `/metrics/<vm>`) are."""

    bind: Address = Field(
        default="127.0.0.1",
        description="The address; whoever reaches it can read them.",
        examples=["192.0.2.80"],
    )
    port: Port = Field(default=8404, description="The port.", examples=[9101])


class Edge(Model):
    """HAProxy, on this machine or on `host` over SSH."""

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
        description="Another machine to be the edge, reached over SSH with the keys of your agent;"
        " this one if not given.",
        examples=["edge.example.org"],
    )
    user: Name = Field(default="root", description="Who logs in there.", examples=["root"])
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
    source: Ipv4Address | None = Field(
        default=None,
        description="The address from which the VMs see the edge, whose word on a client's address"
        " they take. Only needed where it cannot be told, such as behind NAT.",
        examples=["192.0.2.80"],
    )
    stats: Stats = Field(
        default=Stats(),
        description="HAProxy's own page, and metrics for Prometheus.",
        examples=[{"bind": "192.0.2.80", "port": 9101}],
    )
    ready_timeout: Duration = Field(
        default=parse_duration("2m"),
        description="How long new servers may take to pass their health check before an update"
        " fails and the old edge goes on.",
        examples=["5m"],
    )
    hard_stop_after: ProxyTime = Field(
        default=parse_duration("30m"),
        description="How long downloads, WebSockets and other long connections may outlive a reload"
        " of HAProxy, which comes with each change of the VMs or services.",
        examples=["2h"],
    )
