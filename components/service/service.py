"""A service: one image, its containers spread over the hosts, each with Traefik's labels."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.config.models.service import Service as ServiceConfig
from components.config.models.service import Volume
from components.data.inventory import Held, kept_of_service, volumes_of
from components.data.mounted import Mounted
from components.host import rights
from components.host.host import ContainerHost
from components.placement import Slot, on_vm, slots, volume_name
from components.service.labels import traefik_labels
from remote.labels import owned
from remote.names import PIDS_LABEL, SLOT_LABEL


@dataclass(frozen=True, kw_only=True)
class ServiceArgs:
    """Arguments of ``Service``."""

    config: ServiceConfig
    hosts: Mapping[str, ContainerHost]
    """All hosts, by the name of their VM."""
    counts: Mapping[str, int]
    """The number of containers on each VM that runs any."""


class Service(pulumi.ComponentResource):
    """The containers of one service."""

    config: ServiceConfig
    counts: Mapping[str, int]
    containers: Mapping[str, docker.Container]
    """By slot name."""
    volumes: Mapping[tuple[str, str], docker.Volume]
    """By VM and name."""
    serving: Mapping[str, pulumi.Resource]
    """By slot name: created once the container is healthy and Traefik sends it requests."""

    def __init__(
        self, name: str, args: ServiceArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("gatehouse:service:Service", name, None, opts)
        self.config = args.config
        self.counts = args.counts
        images = {
            vm: docker.RemoteImage(
                f"{on_vm(name, vm)}-image",
                docker.RemoteImageArgs(name=args.config.image, keep_locally=True),
                args.hosts[vm].on_vm(self),
            )
            for vm in args.counts
        }
        self.volumes = {
            (held.vm, held.what): docker.Volume(
                volume_name(name, held.vm, held.what),
                docker.VolumeArgs(),
                self._keeping(held, args.hosts[held.vm]),
            )
            for vm in args.counts
            for held in volumes_of(name, args.config, vm)
            if held.place == "name"
        }
        self.containers = {
            slot.name: self._container(slot, args.hosts[slot.vm], images[slot.vm])
            for slot in slots(name, args.counts)
        }
        for slot in slots(name, args.counts):
            if helds := volumes_of(name, args.config, slot.vm):
                host = args.hosts[slot.vm]
                Mounted(
                    slot.name,
                    helds,
                    pulumi.ResourceOptions(parent=host.vm),
                    container=self.containers[slot.name].id,
                    disk=host.vm.disk,
                )
        self.serving = {
            slot.name: args.hosts[slot.vm].serving(
                f"{slot.name}-serving",
                self.containers[slot.name],
                ready=self.config.start_timeout,
                grace=self.config.stop_grace,
                parent=self,
            )
            for slot in slots(name, args.counts)
        }
        self.register_outputs(
            {
                "containers": list(self.containers),
                **kept_of_service(self.config, name, self.counts),
            }
        )

    def _keeping(self, held: Held, host: ContainerHost) -> pulumi.ResourceOptions:
        """Return a volume's options: the engine protects it unless it is expendable."""
        options = host.on_vm(self)
        if not held.expendable:
            options.protect = True
            # A domain that had vanished and is made again may have the old disk, and the volume.
            # If it has not, Docker makes the volume with the first container that uses it.
            options.replacement_trigger = None
        return options

    def _container(
        self, slot: Slot, host: ContainerHost, image: docker.RemoteImage
    ) -> docker.Container:
        spec = self.config
        memory = spec.memory_mebibytes or host.memory
        labels = owned(
            {
                **spec.labels,
                SLOT_LABEL: slot.name,
                PIDS_LABEL: str(spec.pids),
                **traefik_labels(slot.service, spec),
            }
        )
        return docker.Container(
            slot.name,
            docker.ContainerArgs(
                image=image.image_id,
                hostname=slot.name,
                command=list(spec.command) if spec.command is not None else None,
                envs=_environment(spec),
                labels=[
                    docker.ContainerLabelArgs(label=label, value=value)
                    for label, value in sorted(labels.items())
                ],
                networks_advanced=[docker.ContainerNetworksAdvancedArgs(name=host.network)],
                healthcheck=_healthcheck(spec),
                volumes=[self._volume(volume, slot.vm) for volume in spec.volumes] or None,
                cpus=f"{spec.cpus:g}" if spec.cpus is not None else None,
                memory=memory,
                memory_swap=memory,  # By default, Docker allows the same amount of swap in addition
                storage_opts={"size": str(spec.storage)} if spec.storage is not None else None,
                security_opts=list(rights.SECURITY_OPTIONS),
                capabilities=docker.ContainerCapabilitiesArgs(
                    # In this form, or the provider would see a change at each refresh.
                    adds=[f"CAP_{name}" for name in sorted(set(spec.capabilities))] or None,
                    drops=["ALL"],
                ),
                user=spec.user,
                read_only=spec.read_only or None,
                restart=spec.restart,
                destroy_grace_seconds=spec.stop_grace,
            ),
            # By default the provider deletes the old container first. Its generated name makes that
            # needless, and requests would meet no container meanwhile.
            pulumi.ResourceOptions.merge(
                host.on_vm(self),
                pulumi.ResourceOptions(
                    delete_before_replace=False,
                    # The provider reports an update in place, but changes nothing.
                    replace_on_changes=["healthcheck"],
                ),
            ),
        )

    def _volume(self, volume: Volume, vm: str) -> docker.ContainerVolumeArgs:
        named = self.volumes[vm, volume.name] if volume.name is not None else None
        return docker.ContainerVolumeArgs(
            container_path=volume.path,
            volume_name=named.name if named is not None else None,
            host_path=volume.host,
            read_only=volume.read_only or None,
        )


def _environment(spec: ServiceConfig) -> list[pulumi.Input[str]]:
    plain: list[pulumi.Input[str]] = [f"{key}={value}" for key, value in spec.env.items()]
    secret = [pulumi.Output.secret(f"{key}={value}") for key, value in spec.secret_env.items()]
    return [*plain, *secret]


def _healthcheck(spec: ServiceConfig) -> docker.ContainerHealthcheckArgs | None:
    health = spec.health
    if health.command is None:
        return None if health.image_check else docker.ContainerHealthcheckArgs(tests=["NONE"])
    return docker.ContainerHealthcheckArgs(
        tests=["CMD", *health.command],
        interval=f"{health.interval}s",
        timeout=f"{health.timeout}s",
        retries=health.retries,
        start_period=f"{health.start_period}s" if health.start_period is not None else None,
    )
