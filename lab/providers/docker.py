"""The Docker provider (5.2.0, which is terraform-provider-docker 4.5)."""

from __future__ import annotations

import docker

from lab.providers.docker_container import DockerContainer
from lab.providers.docker_host import DockerHost, find_image, gone_is_fine, there
from lab.providers.handler import Call, Created, FixedHandler, Handler, Package, Resource, copy_of
from lab.providers.provider_errors import ProviderError
from lab.providers.schema import Effect, Schema
from lab.providers.values import Props


class DockerImage(Handler[DockerHost]):
    """`docker:index/remoteImage:RemoteImage`: an image pulled from a registry."""

    schema = Schema(
        type="docker:index/remoteImage:RemoteImage",
        inputs={
            "name": Effect.REPLACE,
            "keepLocally": Effect.UPDATE,
            "forceRemove": Effect.UPDATE,
            "pullTriggers[*]": Effect.REPLACE,
            "triggers.**": Effect.REPLACE,
        },
        required=("name",),
        unordered=frozenset({"pullTriggers"}),
    )

    def create(self, connection: DockerHost, call: Call) -> Created:
        """Pull the image, if it is missing."""
        name = call.inputs["name"]
        auth = connection.registry_auth(name)
        image = connection.ask(lambda client: find_image(client, name, auth))
        return Created(image["Id"] + name, _image_outputs(image, name))

    def update(self, connection: DockerHost, call: Call, old: Resource) -> Props:  # noqa: ARG002
        """Pull the image if it has gone."""
        return self.create(connection, call).outputs

    def delete(self, connection: DockerHost, call: Call, old: Resource) -> None:  # noqa: ARG002
        """Remove the image, unless `keepLocally` is set; it may be gone already."""
        if call.inputs.get("keepLocally"):
            return
        name, force = call.inputs["name"], bool(call.inputs.get("forceRemove"))
        connection.ask(gone_is_fine(lambda client: client.api.remove_image(name, force=force)))

    def read(self, connection: DockerHost, resource: Resource) -> Resource | None:
        """Look it up by its name."""
        return connection.ask(lambda client: _read_image(client, resource))


def _image_outputs(image: Props, name: str) -> Props:
    digests: list[str] = image.get("RepoDigests") or []
    repository = name.partition("@")[0].rpartition(":")[0] or name
    own = [digest for digest in digests if digest.partition("@")[0].endswith(repository)]
    return {"imageId": image["Id"], "repoDigest": (own or digests or [""])[0]}


def _read_image(client: docker.DockerClient, resource: Resource) -> Resource | None:
    name: str = resource.inputs["name"]
    image = there(lambda client: client.api.inspect_image(name))(client)  # type: ignore[no-untyped-call]
    if image is None:
        return None
    outputs = {**resource.outputs, **_image_outputs(image, name)}
    return copy_of(resource, id=image["Id"] + name, outputs=outputs)


class DockerNetwork(FixedHandler[DockerHost]):
    """`docker:index/network:Network`."""

    schema = Schema(
        type="docker:index/network:Network",
        inputs={
            "name": Effect.REPLACE,
            "driver": Effect.REPLACE,
            "internal": Effect.REPLACE,
            "attachable": Effect.REPLACE,
            "options.**": Effect.REPLACE,
            "labels[*].label": Effect.REPLACE,
            "labels[*].value": Effect.REPLACE,
            "ipamConfigs[*].subnet": Effect.REPLACE,
            "ipamConfigs[*].gateway": Effect.REPLACE,
        },
        unordered=frozenset({"labels", "ipamConfigs"}),
        autonamed=True,
    )

    def create(self, connection: DockerHost, call: Call) -> Created:
        """Create the network."""
        inputs = call.inputs
        pools = [
            docker.types.IPAMPool(subnet=each.get("subnet"), gateway=each.get("gateway"))
            for each in inputs.get("ipamConfigs", [])
        ]
        made = connection.ask(
            lambda client: client.api.create_network(
                inputs["name"],
                driver=inputs.get("driver"),
                options=inputs.get("options"),
                labels={each["label"]: each["value"] for each in inputs.get("labels", [])},
                internal=bool(inputs.get("internal")),
                attachable=inputs.get("attachable"),
                ipam=docker.types.IPAMConfig(pool_configs=pools) if pools else None,
            )
        )
        return Created(made["Id"], {"driver": inputs.get("driver", "bridge")})

    def delete(self, connection: DockerHost, call: Call, old: Resource) -> None:  # noqa: ARG002
        """Remove the network; it may be gone already."""
        connection.ask(gone_is_fine(lambda client: client.api.remove_network(old.id)))

    def read(self, connection: DockerHost, resource: Resource) -> Resource | None:
        """Look it up by its id."""
        found = connection.ask(there(lambda client: client.api.inspect_network(resource.id)))
        return resource if found else None


class DockerVolume(FixedHandler[DockerHost]):
    """`docker:index/volume:Volume`."""

    schema = Schema(
        type="docker:index/volume:Volume",
        inputs={
            "name": Effect.REPLACE,
            "driver": Effect.REPLACE,
            "driverOpts.**": Effect.REPLACE,
            "labels[*].label": Effect.REPLACE,
            "labels[*].value": Effect.REPLACE,
        },
        unordered=frozenset({"labels"}),
        autonamed=True,
    )

    def create(self, connection: DockerHost, call: Call) -> Created:
        """Create the volume."""
        inputs = call.inputs
        made = connection.ask(
            lambda client: client.api.create_volume(
                inputs["name"],
                driver=inputs.get("driver"),
                driver_opts=inputs.get("driverOpts"),
                labels={each["label"]: each["value"] for each in inputs.get("labels", [])},
            )
        )
        return Created(made["Name"], {"driver": made["Driver"], "mountpoint": made["Mountpoint"]})

    def delete(self, connection: DockerHost, call: Call, old: Resource) -> None:  # noqa: ARG002
        """Remove the volume; it may be gone already."""
        connection.ask(gone_is_fine(lambda client: client.api.remove_volume(old.id)))

    def read(self, connection: DockerHost, resource: Resource) -> Resource | None:
        """Look it up by its name."""
        found = connection.ask(there(lambda client: client.api.inspect_volume(resource.id)))
        return resource if found else None


def _connect(inputs: Props) -> DockerHost:
    if not inputs.get("host"):
        raise ProviderError("the Docker provider has no host")
    return DockerHost(inputs)


PACKAGE = Package(
    name="docker",
    version="5.2.0",
    provider=Schema(
        type="pulumi:providers:docker",
        inputs={
            "host": Effect.UPDATE,
            # The SDK sends these two as JSON text.
            "sshOpts": Effect.UPDATE,
            "registryAuth": Effect.UPDATE,
        },
        required=("host",),
    ),
    connect=_connect,
    handlers=(DockerImage(), DockerNetwork(), DockerVolume(), DockerContainer()),
)
