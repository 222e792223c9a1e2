"""A service: one image, its containers spread over the hosts, each with Traefik's labels."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components import config
from components.host.host import ContainerHost
from components.placement import Slot, slots
from components.service.labels import SLOT_LABEL, traefik_labels


@dataclass(frozen=True, kw_only=True)
class ServiceArgs:
    """Arguments of ``Service``."""

    config: config.Service
    hosts: Mapping[str, ContainerHost]
    """All hosts, by the name of their VM."""
    counts: Mapping[str, int]
    """How many containers each VM runs, for those that run any."""


class Service(pulumi.ComponentResource):
    """The containers of one service."""

    config: config.Service
    counts: Mapping[str, int]
    containers: Mapping[str, docker.Container]
    """By slot name; what depends on the service being there depends on these."""

    def __init__(
        self, name: str, args: ServiceArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("gatehouse:service:Service", name, None, opts)
        self.config = args.config
        self.counts = args.counts
        images = {
            vm: docker.RemoteImage(
                f"{name}-{vm}-image",
                docker.RemoteImageArgs(name=args.config.image, keep_locally=True),
                args.hosts[vm].on_vm(self),
            )
            for vm in args.counts
        }
        self.containers = {
            slot.name: self._container(slot, args.hosts[slot.vm], images[slot.vm])
            for slot in slots(name, args.counts)
        }
        self.register_outputs({"containers": list(self.containers)})

    def _container(
        self, slot: Slot, host: ContainerHost, image: docker.RemoteImage
    ) -> docker.Container:
        labels = {SLOT_LABEL: slot.name, **traefik_labels(slot.service, self.config)}
        return docker.Container(
            slot.name,
            docker.ContainerArgs(
                image=image.image_id,
                hostname=slot.name,
                command=list(self.config.command) if self.config.command is not None else None,
                envs=[f"{key}={value}" for key, value in self.config.env.items()],
                labels=[
                    docker.ContainerLabelArgs(label=label, value=value)
                    for label, value in labels.items()
                ],
                networks_advanced=[docker.ContainerNetworksAdvancedArgs(name=host.network)],
                restart="unless-stopped",
                destroy_grace_seconds=30,
            ),
            # The provider asks for the old container to be deleted first, which its generated name
            # makes needless, and which would leave nobody to answer meanwhile.
            pulumi.ResourceOptions.merge(
                host.on_vm(self), pulumi.ResourceOptions(delete_before_replace=False)
            ),
        )
