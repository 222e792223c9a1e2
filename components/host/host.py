"""A container host: Docker on one VM over SSH, a network, and Traefik as the one published port."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker
from pulumi_command import local

from components.config.models.service import PIDS
from components.config.models.stack import Registry
from components.host import rights, traefik
from components.host.registries import logins
from components.vm.vm import Vm
from remote.archive import VM_AGENT, version
from remote.labels import owned
from remote.names import AGENT_FOLDER, AGENT_PROGRAM, TRAEFIK_LABEL
from remote.vm_firewall.grant import Grant

_AGENT_SECONDS = 120
"""The agent is started by cloud-init's last stage, which Docker does not wait for."""

_READY_SECONDS = 120
"""Traefik is up in 1 s with KVM and took up to 20 s on an emulated CPU under load."""

# The output of the last join, which the local shell inserts; empty at the creation.
_MARK = "mark=\"'$PULUMI_COMMAND_STDOUT'\""
_JOIN = f"exec {{}} python3 {AGENT_PROGRAM} join {{}} {{}} {_MARK}"
# 255 is ssh's own code. A VM that cannot be reached gets no requests, so nothing can leave it.
_LEAVE = f"{{}} python3 {AGENT_PROGRAM} leave {{}} {{}} {_MARK} || [ $? = 255 ]"


@dataclass(frozen=True, kw_only=True)
class ContainerHostArgs:
    """Arguments of ``ContainerHost``."""

    vm: Vm
    registries: Mapping[str, Registry]
    """Logins by the registry's address."""
    edge: Sequence[str]
    """The addresses from which the edge's requests come."""


class ContainerHost(pulumi.ComponentResource):
    """Where containers of services run."""

    vm: Vm
    memory: int
    """The default memory limit of a container, in MiB."""
    network: pulumi.Output[str]
    """The Docker network on which Traefik reaches containers."""
    entrypoint: pulumi.Output[str]
    """``address:port`` of Traefik, known only once it answers."""

    def __init__(
        self, name: str, args: ContainerHostArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("gatehouse:host:ContainerHost", name, None, opts)
        self.vm = args.vm
        self.memory = rights.memory_limit(args.vm.spec.memory)
        self.provider = self._docker(name, args.registries)
        network = docker.Network(
            f"{name}-network", docker.NetworkArgs(driver="bridge"), self.on_vm(self)
        )
        self.network = network.name
        installed = self._agent(name)
        admitted = self.vm.admit(
            f"{name}-firewall",
            Grant(edges=tuple(args.edge), edge_ports=traefik.PUBLISHED_PORTS),
            parent=self,
        )
        container = self._traefik(name, args.edge, [installed, admitted])
        self._ready = self._traefik_ready(name, container)
        port = traefik.published_port(args.edge)
        self.entrypoint = pulumi.Output.all(self.vm.address, self._ready.id).apply(
            lambda parts: f"{parts[0]}:{port}"
        )
        self.register_outputs({"entrypoint": self.entrypoint})

    def _docker(self, name: str, registries: Mapping[str, Registry]) -> docker.Provider:
        return docker.Provider(
            f"{name}-docker",
            docker.ProviderArgs(
                host=self.vm.docker_host,
                ssh_opts=self.vm.ssh_options,
                registry_auth=[
                    docker.ProviderRegistryAuthArgs(
                        address=address,
                        username=login.username,
                        password=pulumi.Output.secret(login.password),
                    )
                    for address, login in logins(registries)
                ]
                or None,
            ),
            pulumi.ResourceOptions(parent=self, deleted_with=self.vm.domain),
        )

    def _agent(self, name: str) -> pulumi.Resource:
        """Return the command that installs the agent, and ends once it runs."""
        install = shlex.join((VM_AGENT, "install", AGENT_PROGRAM, str(_AGENT_SECONDS)))
        return local.Command(
            f"{name}-agent",
            local.CommandArgs(
                create=f"exec python3 -m controller.ship {install}",
                environment={
                    "GATEHOUSE_SSH": self.vm.ssh_command,
                    # A new version of the agent has to be sent there.
                    "GATEHOUSE_VM_AGENT": version(VM_AGENT),
                },
                triggers=[self.vm.domain.id],
            ),
            pulumi.ResourceOptions(parent=self, deleted_with=self.vm.domain),
        )

    def _traefik(
        self, name: str, edge: Sequence[str], after: Sequence[pulumi.Resource]
    ) -> docker.Container:
        image = docker.RemoteImage(
            f"{name}-traefik-image",
            docker.RemoteImageArgs(name=traefik.IMAGE, keep_locally=True),
            self.on_vm(self),
        )
        labels = owned({TRAEFIK_LABEL: str(traefik.API_PORT)})
        return docker.Container(
            f"{name}-traefik",
            docker.ContainerArgs(
                image=image.image_id,
                command=self.network.apply(lambda network: list(traefik.command(network, edge))),
                envs=list(traefik.environment(edge)),
                networks_advanced=[docker.ContainerNetworksAdvancedArgs(name=self.network)],
                labels=[
                    docker.ContainerLabelArgs(label=label, value=value)
                    for label, value in labels.items()
                ],
                ports=[
                    docker.ContainerPortArgs(
                        internal=traefik.ENTRYPOINT_PORT, external=traefik.published_port(edge)
                    )
                ],
                mounts=[
                    docker.ContainerMountArgs(
                        type="bind",
                        source=f"{AGENT_FOLDER}/traefik",
                        target=traefik.AGENT_FOLDER,
                        read_only=True,
                    )
                ],
                user=traefik.USER,
                read_only=True,
                security_opts=list(rights.SECURITY_OPTIONS),
                capabilities=docker.ContainerCapabilitiesArgs(drops=["ALL"]),
                memory=self.memory,
                memory_swap=self.memory,
                cpu_shares=traefik.CPU_SHARES,
                restart="unless-stopped",
                destroy_grace_seconds=traefik.STOP_GRACE + 5,
            ),
            pulumi.ResourceOptions.merge(
                self.on_vm(self),
                pulumi.ResourceOptions(
                    # The new one publishes another port, so both can run at once.
                    delete_before_replace=False,
                    depends_on=after,
                ),
            ),
        )

    def _traefik_ready(self, name: str, container: docker.Container) -> local.Command:
        """Return the command that ends once Traefik answers."""
        return local.Command(
            f"{name}-traefik-ready",
            local.CommandArgs(
                create=pulumi.Output.all(self.vm.ssh_command, container.id).apply(
                    lambda known: f"exec {known[0]} {shlex.quote(_await_traefik(known[1]))}"
                ),
                triggers=[container.id],
            ),
            pulumi.ResourceOptions(parent=self, deleted_with=self.vm.domain),
        )

    def serving(
        self,
        name: str,
        container: docker.Container,
        *,
        ready: int,
        grace: int,
        parent: pulumi.Resource,
    ) -> pulumi.Resource:
        """Return the resource for a container's membership: creating it joins, deleting it leaves.

        Args:
            name: The resource's name.
            container: A container on this host.
            ready: How long it may take to become healthy, in seconds.
            grace: How long its requests in flight may take when it goes, in seconds.
            parent: The service.
        """
        # Not concat, which makes five outputs of each of its arguments.
        parts = pulumi.Output.all(self.vm.ssh_command, container.id)
        return local.Command(
            name,
            local.CommandArgs(
                create=parts.apply(lambda known: _JOIN.format(*known, ready)),
                delete=parts.apply(lambda known: _LEAVE.format(*known, grace)),
                logging=local.Logging.STDERR,  # nobody has to read a mark
                triggers=[container.id],
            ),
            pulumi.ResourceOptions(
                parent=parent,
                deleted_with=self.vm.domain,
                depends_on=[self._ready],
                custom_timeouts=pulumi.CustomTimeouts(
                    create=f"{2 * ready + 60}s", delete=f"{grace + 120}s"
                ),
            ),
        )

    def on_vm(self, parent: pulumi.Resource) -> pulumi.ResourceOptions:
        """Return the options of resources in the VM's Docker, which are deleted with the VM.

        ``deleted_with`` replaces them when the domain is replaced. The trigger does the same when
        the domain had vanished and is created again.
        """
        return pulumi.ResourceOptions(
            parent=parent,
            provider=self.provider,
            deleted_with=self.vm.domain,
            replacement_trigger=self.vm.domain.id,
        )


def _await_traefik(container: str) -> str:
    limit = f"docker update --pids-limit {PIDS} {container} >/dev/null"
    words = f"{container} {traefik.API_PORT} /ping {_READY_SECONDS}"
    return f"{limit} && exec python3 {AGENT_PROGRAM} ready {words}"
