"""The VMs: how many, how large, on which hypervisor and network."""

import ipaddress
from ipaddress import IPv4Network
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from components.config.models import reachable
from components.config.models.base import (
    Address,
    Duration,
    FilePath,
    Folder,
    HttpUrl,
    Ipv4Interface,
    Ipv4Network,
    List,
    MacAddress,
    Matching,
    Model,
    Name,
    Size,
    VmMemory,
    printable,
)
from components.config.units import parse_duration, parse_size

_URI = (
    r"qemu(\+(ssh|tls|tcp|unix))?://([A-Za-z0-9@._:\[\]-]*)/(system|session)"
    r"(\?[A-Za-z0-9=&%._/-]*)?"
)


_LONGEST_RANGE, _SHORTEST_RANGE = 16, 29
_URI_PORTS = {"ssh": 22, "tcp": 16509, "tls": 16514}
"""The default ports of libvirt's transports."""


def _with_port(value: str) -> str:
    try:
        valid = urlsplit(value).port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ValueError("must be a libvirt URI such as qemu+ssh://root@kvm1.example.org/system")
    return value


def _path_or_url(value: str) -> str:
    if not printable(value).isprintable():
        raise ValueError("must be a path or a URL; remove the invisible characters in it")
    scheme, separator, rest = value.partition("://")
    if separator and (scheme.lower() not in _SCHEMES or not rest):
        raise ValueError(f"must be a path, or a URL with {', '.join(_SCHEMES)}")
    return value


def _with_room(network: IPv4Network) -> IPv4Network:
    # libvirt's DHCP ranges have 65,535 addresses at most.
    if not _LONGEST_RANGE <= network.prefixlen <= _SHORTEST_RANGE:
        raise ValueError("must have room for VMs: a prefix from /16 to /29")
    special = reachable.overlapped(network)
    if special is not None:
        raise ValueError(f"must be a network that machines can use; this one overlaps {special}")
    return network


_SCHEMES = ("http", "https", "file")


_Cidr = Annotated[Ipv4Network, AfterValidator(_with_room)]


_Image = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_path_or_url)]
_Package = Annotated[
    str,
    # apt-get reads a hyphen at the end as an order to remove the package, and a dot as a pattern.
    Matching(
        r"[a-z0-9][a-z0-9+.-]*[a-z0-9+](=[0-9][A-Za-z0-9.+:~-]*[A-Za-z0-9.+~]|=[0-9]"
        r"|/[a-z][a-z0-9-]*[a-z0-9])?",
        "the name of a Debian package, perhaps with its version or suite, such as htop,"
        " htop=3.2.2-2 or htop/bookworm-backports",
    ),
]


def _for_qemu(value: str) -> str:
    if value == "/root" or value.startswith("/root/"):
        raise ValueError("must be a folder that QEMU's user can enter, which /root is not")
    return value


_PoolFolder = Annotated[Folder, AfterValidator(_for_qemu)]

DEFAULT_CIDR = "10.90.0.0/24"


class Hypervisor(Model):
    """A machine with libvirt."""

    uri: Annotated[
        str, Matching(_URI, "a libvirt URI such as qemu:///system"), AfterValidator(_with_port)
    ] = Field(
        default="qemu:///system",
        description="libvirt's address, as `virsh --connect` takes it. On another machine it needs"
        " `network.bridge`.",
        examples=["qemu+ssh://root@kvm1.example.org/system"],
    )
    pool: _PoolFolder = Field(
        default="/var/lib/libvirt/gatehouse",
        description="The folder on the hypervisor for the disks; the stack's name is appended.",
        examples=["/srv/vms"],
    )

    @property
    def local(self) -> bool:
        """Whether it is the machine that the program runs on."""
        return "://" in self.uri and self.uri.split("://")[1].startswith("/")

    @property
    def host(self) -> str | None:
        """The name or address of libvirt's machine; None if it is a socket of this machine."""
        return None if self.local else urlsplit(self.uri).hostname

    @property
    def port(self) -> int | None:
        """The port of libvirt, or of the SSH server in front of it."""
        transport = self.uri.partition("://")[0].partition("+")[2] or "tls"
        return urlsplit(self.uri).port or _URI_PORTS.get(transport)

    @property
    def elsewhere(self) -> bool:
        """Whether libvirt may be on another machine: a loopback address may be a tunnel."""
        host = self.host
        if host is None or host == "localhost" or self.uri.startswith("qemu+unix:"):
            return False
        try:
            return not ipaddress.ip_address(host).is_loopback
        except ValueError:
            return True


class Network(Model):
    """The VMs' network: Gatehouse's own behind NAT, or a bridge with static addresses."""

    cidr: _Cidr | None = Field(
        default=None,
        description="The addresses of Gatehouse's own network, where VMs use DHCP;"
        f" {DEFAULT_CIDR} if there is no bridge either.",
        examples=["10.90.0.0/24"],
    )
    bridge: (
        Annotated[
            str, Matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}", "the name of a network interface")
        ]
        | None
    ) = Field(
        default=None,
        description="An existing bridge of the hypervisor, instead of Gatehouse's own network.",
        examples=["br0"],
    )
    addresses: Annotated[tuple[Ipv4Interface, ...], List] = Field(
        default=(),
        description="With a bridge: each VM's address and prefix, the first VM's first.",
        examples=[["192.0.2.10/24", "192.0.2.11/24"]],
    )
    gateway: Address | None = Field(
        default=None, description="With a bridge: the default route.", examples=["192.0.2.1"]
    )
    dns: Annotated[tuple[Address, ...], List] = Field(
        default=(), description="With a bridge: the name servers.", examples=[["192.0.2.1"]]
    )
    macs: Annotated[tuple[MacAddress, ...], List] = Field(
        default=(),
        description="Each VM's MAC address, the first VM's first; libvirt chooses it by default.",
        examples=[["52:54:00:00:00:10", "52:54:00:00:00:11"]],
    )

    @model_validator(mode="after")
    def _either(self) -> Self:
        if self.bridge is None:
            for key in ("addresses", "gateway", "dns"):
                if getattr(self, key):
                    raise ValueError(
                        f"{key} is for a bridge; Gatehouse's own network gives addresses by DHCP"
                    )
        elif self.cidr is not None:
            raise ValueError("has both cidr and bridge; give one of them")
        elif not self.addresses or self.gateway is None:
            raise ValueError(
                "needs addresses and gateway with a bridge, where Gatehouse runs no DHCP server"
            )
        return self


class Farm(Model):
    """The VMs: `vms` identical ones, called `<name>-0`, `<name>-1` and so on."""

    vms: Annotated[int, Field(ge=1, le=1000)] = Field(description="How many VMs.", examples=[3])
    image: _Image = Field(
        description="A qcow2 image with cloud-init: a path on this machine, or a URL. Another one"
        " replaces the VMs.",
        examples=["/var/lib/libvirt/images/debian-12-genericcloud-amd64.qcow2"],
    )
    name: Name = Field(
        default="web", description="The VMs' name, before their number.", examples=["web"]
    )
    vcpus: Annotated[int, Field(ge=1, le=255)] = Field(
        default=2,
        description="Processors of each VM. Another number replaces the VMs.",
        examples=[4],
    )
    memory: VmMemory = Field(
        default=parse_size("2GiB"),
        description="Memory of each VM. Another size replaces the VMs.",
        examples=["4GiB"],
    )
    disk: Size = Field(
        default=parse_size("20GiB"),
        description="Disk of each VM, at least the image's size. Another size replaces the VMs.",
        examples=["40GiB"],
    )
    domain_type: Literal["kvm", "qemu"] = Field(
        default="kvm",
        description="`kvm`, or `qemu` for an emulated processor where there is no KVM: slow.",
        examples=["kvm"],
    )
    hypervisors: Annotated[tuple[Hypervisor, ...], Field(min_length=1, max_length=1), List] = Field(
        default=(Hypervisor(),),
        description="Where the VMs run: one machine, for now.",
        examples=[[{"pool": "/srv/vms"}]],
    )
    network: Network = Field(
        default=Network(),
        description="How the VMs are connected. Other values replace the VMs.",
        examples=[{"cidr": "10.90.0.0/24"}],
    )
    install_docker: bool = Field(
        default=True,
        description="Install Docker, chrony, nftables and unattended-upgrades at the first boot;"
        " `false` for an image that has them, as `make image` builds it.",
        examples=[False],
    )
    ssh_from: Annotated[tuple[Ipv4Network, ...], List] = Field(
        default=(),
        description="The networks and addresses from which the VMs answer SSH. They have to include"
        " this machine, which is the default.",
        examples=[["192.0.2.7/32", "198.51.100.0/24"]],
    )
    packages: Annotated[tuple[_Package, ...], List] = Field(
        default=(),
        description="More Debian packages to install at the first boot, perhaps with a version"
        " (`htop=3.2.2-2`) or suite (`htop/bookworm-backports`). Others replace the VMs.",
        examples=[["htop", "tcpdump"]],
    )
    volume_folders: Annotated[tuple[FilePath, ...], List] = Field(
        default=(),
        description="More folders of the VMs that services may mount with `volumes[].host`, besides"
        " those in /srv, /mnt, /opt, /data and /media. Folders of the system are refused.",
        examples=[["/var/lib/matomo"]],
    )
    registry_mirror: HttpUrl | None = Field(
        default=None,
        description="A mirror of Docker Hub that the VMs pull through.",
        examples=["http://192.0.2.1:5000"],
    )
    boot_timeout: Duration = Field(
        default=parse_duration("10m"),
        description="How long a VM may take until its Docker answers.",
        examples=["5m"],
    )
    drain_timeout: Duration = Field(
        default=parse_duration("30s"),
        description="How long requests in flight may take on a VM that is removed.",
        examples=["1m"],
    )
    shutdown_timeout: Duration = Field(
        default=parse_duration("1m"),
        description="How long a VM that is removed may take to power off before it is cut off.",
        examples=["2m"],
    )

    @property
    def hypervisor(self) -> Hypervisor:
        """The farm's only hypervisor."""
        return self.hypervisors[0]

    @property
    def cidr(self) -> IPv4Network:
        """The addresses of Gatehouse's own network; meaningless with a bridge."""
        return self.network.cidr or IPv4Network(DEFAULT_CIDR)

    @property
    def host_address(self) -> str:
        """The hypervisor's address in Gatehouse's network: the first, and the only way in."""
        return str(self.cidr[1])
