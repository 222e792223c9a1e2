"""The edge: HAProxy in front of all VMs."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from components.config.models.edge import Edge as EdgeConfig
from components.edge import haproxy
from components.edge.backends import Backend, TcpBackend, any_backend
from components.edge.edge_target import EdgeCommand, EdgeTarget, edge_target
from components.edge.pages import read_page
from components.edge.public_ports import public_ports
from components.edge.userlists import userlists
from components.host.host import ContainerHost
from components.service.service import Service
from components.vm.farm import Farm
from remote.edge_agent.bundle import Bundle, pack
from remote.edge_agent.seal import sealed
from remote.edge_agent.users import digest


@dataclass(frozen=True, kw_only=True)
class EdgeArgs:
    """Arguments of ``Edge``."""

    config: EdgeConfig
    farm: Farm
    """The farm, for an edge VM."""
    hosts: Mapping[str, ContainerHost]
    """All hosts, by the name of their VM."""
    services: Mapping[str, Service]


class Edge(pulumi.ComponentResource):
    """One HAProxy with a backend per service, of exactly the VMs that run it."""

    address: str
    """``host:port`` at which clients reach it."""
    target: EdgeTarget
    backends: pulumi.Output[tuple[Backend | TcpBackend, ...]]
    """In the order of config; known once the VMs' entrypoints are."""
    bundle: pulumi.Output[Bundle]
    """haproxy.cfg and the files beside it."""

    def __init__(
        self, name: str, args: EdgeArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("gatehouse:edge:Edge", name, None, opts)
        edge = args.config
        stack = pulumi.get_stack()
        folder = f"{edge.folder}/{stack}"
        serving = [each for service in args.services.values() for each in service.serving.values()]
        public = public_ports(edge, [each.config for each in args.services.values()])
        self.target = edge_target(edge, args.farm, public=public, parent=self, after=serving)
        self.address = f"{self.target.address}:{edge.entrance[1]}"
        pages = {
            name: {
                status: read_page(path) for status, path in service.config.http.error_pages.items()
            }
            for name, service in args.services.items()
        }
        users = userlists({name: service.config for name, service in args.services.items()})
        self.backends = pulumi.Output.all(
            **{vm: host.entrypoint for vm, host in args.hosts.items()}
        ).apply(
            lambda entrypoints: tuple(
                any_backend(name, service.config, service.counts, entrypoints, pages[name])
                for name, service in args.services.items()
            )
        )
        self.bundle = self.backends.apply(
            lambda backends: haproxy.render(backends, edge, folder, digest(users) if users else "")
        )
        listed = []
        if users:
            # A separate resource, because one secret part of an input hides the whole input.
            kept = EdgeCommand(
                create=("users", folder, stack), stdin=pulumi.Output.secret(sealed(users))
            )
            listed.append(
                self.target.run(f"{name}-users", kept, pulumi.ResourceOptions(parent=self))
            )
        in_force = self.target.run(
            f"{name}-haproxy",
            EdgeCommand(
                create=("apply", folder, stack, str(edge.ready_timeout)),
                delete=("remove", folder, stack),
                stdin=self.bundle.apply(lambda bundle: sealed(pack(bundle))),
            ),
            pulumi.ResourceOptions(parent=self, depends_on=[*serving, *listed]),
        )
        disks = {vm: host.vm.disk for vm, host in args.hosts.items()}
        self.register_outputs(
            {
                "address": self.address,
                "haproxy_cfg": self.bundle.apply(lambda bundle: bundle.config),
                # For components.data.state: an update that fails does not write these.
                "disks": pulumi.Output.all(disks, in_force.urn).apply(lambda known: known[0]),
            }
        )
