"""The edge: HAProxy on this machine, or on another one over SSH, in front of all VMs."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_command import local, remote

from components.edge import haproxy
from components.edge.keeper.archive import archive
from components.edge.keeper.users import digest
from components.edge.pages import read_page
from components.edge.pools import Pool, pool
from components.edge.users import userlists
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
    pools: pulumi.Output[tuple[Pool, ...]]
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
        pages = {
            name: {
                status: read_page(path) for status, path in service.config.http.error_pages.items()
            }
            for name, service in args.services.items()
        }
        users = userlists({name: service.config for name, service in args.services.items()})
        self.pools = pulumi.Output.all(
            **{vm: host.entrypoint for vm, host in args.hosts.items()}
        ).apply(
            lambda entrypoints: tuple(
                pool(name, service.config, service.counts, entrypoints, pages[name])
                for name, service in args.services.items()
            )
        )
        self.haproxy_cfg = self.pools.apply(
            lambda pools: haproxy.render(pools, edge, folder, digest(users) if users else "")
        )
        serving = [each for service in args.services.values() for each in service.serving.values()]
        listed = []
        if users:
            # A resource of its own, because what is secret in one input hides the whole of it.
            listed.append(
                self._keep(
                    f"{name}-users", edge, ("users", folder, stack), pulumi.Output.secret(users)
                )
            )
        self._keep(
            f"{name}-haproxy",
            edge,
            ("apply", folder, stack, str(edge.ready_timeout)),
            self.haproxy_cfg,
            remove=("remove", folder, stack),
            after=[*serving, *listed],
        )
        self.register_outputs({"address": self.address, "haproxy_cfg": self.haproxy_cfg})

    def _keep(
        self,
        name: str,
        edge: EdgeConfig,
        create: Sequence[str],
        stdin: pulumi.Output[str],
        *,
        remove: Sequence[str] | None = None,
        after: Sequence[pulumi.Resource] = (),
    ) -> pulumi.Resource:
        """Return a command of the keeper, on the edge's machine."""
        options = pulumi.ResourceOptions(parent=self, depends_on=after)
        if edge.host is None:
            return local.Command(
                name,
                local.CommandArgs(
                    create=shlex.join((*_LOCAL, *create)),
                    delete=shlex.join((*_LOCAL, *remove)) if remove else None,
                    stdin=stdin,
                ),
                options,
            )
        return remote.Command(
            name,
            remote.CommandArgs(
                connection=remote.ConnectionArgs(
                    host=edge.host, port=edge.ssh_port, user=edge.user, host_key=edge.host_key
                ),
                create=archive_command(archive(), *create),
                delete=archive_command(archive(), *remove) if remove else None,
                stdin=stdin,
            ),
            options,
        )
