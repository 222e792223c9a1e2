"""The edge: HAProxy on this machine, or on another one over SSH, in front of all VMs."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_command import local, remote

from components.edge import haproxy
from components.edge.keeper.archive import archive
from components.edge.pools import Pool, TcpPool, any_pool
from components.host.host import ContainerHost
from components.models.edge import Edge as EdgeConfig
from components.scripts import archive_command
from components.service.service import Service

_LOCAL = ("exec", "python3", "-m", "components.edge.keeper")


@dataclass(frozen=True, kw_only=True)
class EdgeArgs:
    """Arguments of ``Edge``."""

    config: EdgeConfig
    hosts: Mapping[str, ContainerHost]
    """All hosts, by the name of their VM."""
    services: Mapping[str, Service]


class Edge(pulumi.ComponentResource):
    """One HAProxy with a pool per service, of exactly the VMs that run it."""

    address: str
    """``host:port`` at which clients reach it."""
    pools: pulumi.Output[tuple[Pool | TcpPool, ...]]
    """In the order of config; known once the VMs' entrypoints are."""
    haproxy_cfg: pulumi.Output[str]

    def __init__(
        self, name: str, args: EdgeArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("gatehouse:edge:Edge", name, None, opts)
        edge = args.config
        stack = pulumi.get_stack()
        folder = f"{edge.folder}/{stack}"
        self.address = f"{edge.host or edge.bind}:{edge.entrance[1]}"
        self.pools = pulumi.Output.all(
            **{vm: host.entrypoint for vm, host in args.hosts.items()}
        ).apply(
            lambda entrypoints: tuple(
                any_pool(name, service.config, service.counts, entrypoints)
                for name, service in args.services.items()
            )
        )
        self.haproxy_cfg = self.pools.apply(lambda pools: haproxy.render(pools, edge, folder))
        apply = (folder, stack, str(edge.ready_timeout))
        remove = (folder, stack)
        after_serving = pulumi.ResourceOptions(
            parent=self,
            depends_on=[
                serving
                for service in args.services.values()
                for serving in service.serving.values()
            ],
        )
        if edge.host is None:
            local.Command(
                f"{name}-haproxy",
                local.CommandArgs(
                    create=shlex.join((*_LOCAL, "apply", *apply)),
                    delete=shlex.join((*_LOCAL, "remove", *remove)),
                    stdin=self.haproxy_cfg,
                ),
                after_serving,
            )
        else:
            remote.Command(
                f"{name}-haproxy",
                remote.CommandArgs(
                    connection=remote.ConnectionArgs(
                        host=edge.host, port=edge.ssh_port, user=edge.user, host_key=edge.host_key
                    ),
                    create=archive_command(archive(), "apply", *apply),
                    delete=archive_command(archive(), "remove", *remove),
                    stdin=self.haproxy_cfg,
                ),
                after_serving,
            )
        self.register_outputs({"address": self.address, "haproxy_cfg": self.haproxy_cfg})
