"""A service: its image, replicas, domains and checks."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from components.config.models.base import (
    Duration,
    FilePath,
    HostPattern,
    List,
    Matching,
    Model,
    Name,
    Port,
    PrintableText,
    ProxyTime,
    SecretText,
    Size,
    Text,
    UrlPath,
    lines,
)
from components.config.models.docker import Capability, ImageName, Memory, User
from components.config.models.edge import Edge
from components.config.models.http import Http
from components.config.units import MEBIBYTE, parse_duration

_EnvName = Annotated[
    str,
    Field(max_length=1000),
    AfterValidator(lines),
    Matching(r"[^=\0]+", "a variable's name: any text without ="),
]
_LabelKey = Annotated[
    str,
    Matching(
        r"[a-z0-9]([a-z0-9._/-]{0,126}[a-z0-9])?",
        "a label's key of lower-case letters, digits and any of . _ / -",
    ),
]


PIDS = 1024
"""How many processes and threads a container may have. It is enough for a server with a thread for
each of some hundred clients, and a tenth of the number that a VM of 2 GiB has room for."""


class Health(Model):
    """When a container is fit to serve: it passes its check over HTTP, and Docker's check.

    With `tcp`: it passes Docker's check if there is a `command`, else it accepts connections.
    """

    path: UrlPath | None = Field(
        default=None,
        description="A path that answers with a status from 200 to 399 when all is well. By default"
        " the service's own path, or `/` with `strip_path`. The check goes directly to the"
        " container, so the path need not be below the service's.",
        examples=["/health"],
    )
    command: Annotated[tuple[Text, ...], Field(min_length=1), List] | None = Field(
        default=None,
        description="A command in the container that exits with 0 when all is well; Docker runs it"
        " in addition to the HTTP check.",
        examples=[["pg_isready", "-q"]],
    )
    interval: ProxyTime = Field(
        default=parse_duration("10s"),
        description="The time between checks of a container that serves. Gatehouse notices within"
        " 3 s, whatever the interval, that a VM, its Traefik or a container's process is gone.",
        examples=["5s"],
    )
    timeout: ProxyTime = Field(
        default=parse_duration("5s"), description="How long one check may take.", examples=["2s"]
    )
    retries: Annotated[int, Field(ge=1, le=100)] = Field(
        default=3,
        description="How many failures of the command in a row make a container unhealthy. One"
        " failure over HTTP is enough.",
        examples=[3],
    )
    start_period: Duration | None = Field(
        default=None,
        description="Time after a container's start in which failures of the command do not count.",
        examples=["30s"],
    )
    image_check: bool = Field(
        default=True,
        description="Whether the image's own HEALTHCHECK counts too, if it has one and there is no"
        " `command`.",
        examples=[False],
    )


class Tcp(Model):
    """A service other than HTTP, such as a database: the edge forwards its connections unchanged.

    Every client that reaches `edge.bind` can connect: `allow` and passwords are for HTTP only.
    """

    port: Port = Field(
        description="The port of the edge, on `edge.bind`; the service's own `port` is the"
        " container's.",
        examples=[5432],
    )
    proxy_protocol: bool = Field(
        default=False,
        description="Send the client's address to the container, in a header of the PROXY protocol,"
        " version 2, ahead of the client's data. The container has to expect it.",
        examples=[True],
    )
    idle_timeout: ProxyTime = Field(
        default=parse_duration("1h"),
        description="How long a connection may be silent in both directions before it is closed.",
        examples=["12h"],
    )


class Placement(Model):
    """Which VMs run the service's containers: spread over all of them by default."""

    vms: Annotated[tuple[Name, ...], Field(min_length=1), List] | None = Field(
        default=None, description="Only these VMs, by name.", examples=[["web-0", "web-1"]]
    )
    max_per_vm: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="The largest number of containers on one VM.", examples=[2]
    )


class Volume(Model):
    """Storage on a VM, where it outlives containers. An update that would delete it is refused.

    While a container is replaced, the old and the new one both have it.
    """

    path: FilePath = Field(
        description="The path in the container.", examples=["/var/lib/postgresql/data"]
    )
    name: Name | None = Field(
        default=None, description="A Docker volume on the VM, by name.", examples=["data"]
    )
    host: FilePath | None = Field(
        default=None,
        description="Instead of a name: a folder of the VM, in /srv, /mnt, /opt, /data or /media,"
        " or in one of `farm.volume_folders`.",
        examples=["/srv/matomo"],
    )
    read_only: bool = Field(
        default=False, description="The container cannot write to it.", examples=[True]
    )
    shared: bool = Field(
        default=False,
        description="Several replicas may use it: those on one VM see the same files, those on"
        " different VMs do not. Needed with more than one replica.",
        examples=[True],
    )
    expendable: bool = Field(
        default=False,
        description="An update may delete the volume and its content. Otherwise a preview or update"
        " that would delete it ends before anything is changed, and says why.",
        examples=[True],
    )

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.name is None) == (self.host is None):
            raise ValueError("must have either name or host")
        return self


class Service(Model):
    """One image, run `replicas` times in total, under `hosts` and `path`, or at a `tcp` port."""

    image: ImageName = Field(
        description="The container image; a digest is better than a tag.",
        examples=["matomo@sha256:" + "0123456789abcdef" * 4],
    )
    hosts: Annotated[tuple[HostPattern, ...], Field(min_length=1), List] = Field(
        default=(),
        description="The domains it serves; `*.example.org` is every name one level below."
        " Required without `tcp`.",
        examples=[["matomo.example.org"]],
    )
    tcp: Tcp | None = Field(
        default=None,
        description="Instead of `hosts`, for protocols other than HTTP: the edge's port.",
        examples=[{"port": 5432}],
    )
    port: Port = Field(description="The port that the container listens on.", examples=[80])
    path: UrlPath = Field(
        default="/",
        description="Only requests to this path and below; the longest matching path wins.",
        examples=["/shop"],
    )
    strip_path: bool = Field(
        default=False,
        description="Remove the path from a request before the container gets it.",
        examples=[True],
    )
    replicas: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=1, description="How many containers in total.", examples=[4]
    )
    placement: Placement = Field(
        default=Placement(),
        description="Which VMs run them.",
        examples=[{"vms": ["web-0", "web-1"], "max_per_vm": 2}],
    )
    command: Annotated[tuple[Text, ...], Field(min_length=1), List] | None = Field(
        default=None,
        description="Command with its arguments, instead of the image's.",
        examples=[["server", "--listen", ":8080"]],
    )
    env: dict[_EnvName, Text] = Field(
        default_factory=dict,
        description="Environment variables: any name, and text of one or several lines.",
        examples=[{"LOG_LEVEL": "info"}],
    )
    secret_env: dict[_EnvName, SecretText] = Field(
        default_factory=dict,
        description="Secret environment variables: set them with"
        " `pulumi config set --secret --path`.",
        examples=[{"DATABASE_PASSWORD": {"secure": "v1:…"}}],
    )
    health: Health = Field(
        default=Health(),
        description="When a container is fit to serve.",
        examples=[{"path": "/health", "interval": "5s"}],
    )
    http: Http = Field(
        default=Http(),
        description="HTTP features of the edge: limits, passwords, headers and others.",
        examples=[{"sticky": True, "max_body": "10MiB"}],
    )
    volumes: Annotated[tuple[Volume, ...], List] = Field(
        default=(),
        description="Storage that outlives the containers.",
        examples=[[{"name": "data", "path": "/data", "shared": True}]],
    )
    cpus: Annotated[float, Field(ge=0.01, le=255)] | None = Field(
        default=None, description="Processor limit of a container.", examples=[0.5]
    )
    memory: Memory | None = Field(
        default=None,
        description="Memory limit of a container, which is killed beyond it; by default the VM's"
        " memory minus an eighth, at least 128MiB.",
        examples=["512MiB"],
    )
    storage: Size | None = Field(
        default=None,
        description="Limit of what a container may write outside of its volumes; without one it may"
        " fill the VM's disk. It needs overlay2 on an xfs mounted with `pquota`, which Debian's"
        " own image does not have; elsewhere Docker refuses to create the container.",
        examples=["2GiB"],
    )
    pids: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=PIDS,
        description="Limit of a container's processes and threads.",
        examples=[200],
    )
    capabilities: Annotated[tuple[Capability, ...], List] = Field(
        default=(),
        description="Linux capabilities of a container; none unless listed. Images that start as"
        " root and then change to another user mostly need CHOWN, SETGID and SETUID.",
        examples=[["CHOWN", "SETGID", "SETUID"]],
    )
    user: User | None = Field(
        default=None,
        description="User of the container, instead of the image's.",
        examples=["1000"],
    )
    read_only: bool = Field(
        default=False,
        description="Make the container's root filesystem read-only.",
        examples=[True],
    )
    labels: dict[_LabelKey, PrintableText] = Field(
        default_factory=dict,
        description="More labels; Gatehouse sets those below `traefik.` and `gatehouse.`.",
        examples=[{"team": "shop"}],
    )
    restart: Literal["no", "on-failure", "unless-stopped", "always"] = Field(
        default="unless-stopped",
        description="Docker's restart policy.",
        examples=["always"],
    )
    start_timeout: Duration = Field(
        default=parse_duration("2m"),
        description="How long a new container may take to pass its health check before an update"
        " fails and the old containers keep serving.",
        examples=["5m"],
    )
    stop_grace: Duration = Field(
        default=parse_duration("30s"),
        description="Time for requests in flight when a container is removed, and then for the"
        " container to stop.",
        examples=["1m"],
    )

    @property
    def container_check_path(self) -> str:
        """The path that a container's health check asks for."""
        return self.health.path or ("/" if self.strip_path else self.path)

    @property
    def asked_as_grpc(self) -> bool:
        """Whether Gatehouse assumes a gRPC server, which has no path for a GET."""
        return self.http.protocol == "h2c" and self.health.path is None

    @property
    def memory_mebibytes(self) -> int | None:
        """The memory limit in MiB, the Docker provider's unit."""
        return None if self.memory is None else self.memory // MEBIBYTE

    def url(self, edge: Edge, address: str) -> str:
        """Return the service's URL for clients.

        Args:
            edge: The edge's config.
            address: The edge's address.
        """
        if self.tcp is not None:
            return f"tcp://{f'[{address}]' if ':' in address else address}:{self.tcp.port}"
        return edge.origin(self.example_host) + self.path

    @property
    def main_domain(self) -> str | None:
        """The first domain without a wildcard, to which the aliases redirect."""
        return next((host for host in self.hosts if not host.startswith("*.")), None)

    @property
    def example_host(self) -> str:
        """A name in the first domain, for checks and examples."""
        return self.hosts[0].replace("*", "gatehouse-check")


def check_name(service: str) -> str:
    """Return the host name of the edge's check of a service on a VM."""
    return f"_{service}._http"


def tcp_name(service: str) -> str:
    """Return the name of a TCP service between the edge and Traefik; no domain looks like it."""
    return f"_{service}._tcp"
