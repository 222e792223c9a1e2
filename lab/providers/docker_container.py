"""Docker containers."""

from __future__ import annotations

import re
import time
from typing import Any

import docker

from lab.providers.docker_host import DockerHost, find_image, gone_is_fine, there
from lab.providers.handler import Call, Created, Handler, Resource, copy_of
from lab.providers.provider_errors import PartlyCreated, ProviderError
from lab.providers.schema import Effect, Schema
from lab.providers.values import Props

_NANO = 10**9
_MEBIBYTE = 1024 * 1024
_WAIT_SECONDS = 60
"""The provider's default of `wait_timeout`."""
_UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


class DockerContainer(Handler[DockerHost]):
    """`docker:index/container:Container`."""

    schema = Schema(
        type="docker:index/container:Container",
        inputs={
            "name": Effect.REPLACE,
            "image": Effect.REPLACE,
            "hostname": Effect.REPLACE,
            "command[*]": Effect.REPLACE,
            "entrypoints[*]": Effect.REPLACE,
            "envs[*]": Effect.REPLACE,
            "labels[*].label": Effect.REPLACE,
            "labels[*].value": Effect.REPLACE,
            "ports[*].internal": Effect.REPLACE,
            "ports[*].external": Effect.REPLACE,
            "ports[*].ip": Effect.REPLACE,
            "ports[*].protocol": Effect.REPLACE,
            "mounts[*].type": Effect.REPLACE,
            "mounts[*].source": Effect.REPLACE,
            "mounts[*].target": Effect.REPLACE,
            "mounts[*].readOnly": Effect.REPLACE,
            "volumes[*].containerPath": Effect.REPLACE,
            "volumes[*].hostPath": Effect.REPLACE,
            "volumes[*].volumeName": Effect.REPLACE,
            "volumes[*].readOnly": Effect.REPLACE,
            "networksAdvanced[*].name": Effect.REPLACE,
            "networksAdvanced[*].aliases[*]": Effect.REPLACE,
            "networkMode": Effect.REPLACE,
            "user": Effect.REPLACE,
            "workingDir": Effect.REPLACE,
            "privileged": Effect.REPLACE,
            "securityOpts[*]": Effect.REPLACE,
            "capabilities.adds[*]": Effect.REPLACE,
            "capabilities.drops[*]": Effect.REPLACE,
            "stopSignal": Effect.REPLACE,
            "stopTimeout": Effect.REPLACE,
            "logDriver": Effect.REPLACE,
            "logOpts.**": Effect.REPLACE,
            "storageOpts.**": Effect.REPLACE,
            "readOnly": Effect.REPLACE,
            "tmpfs.**": Effect.REPLACE,
            "cpus": Effect.REPLACE,
            "init": Effect.UPDATE,
            "healthcheck.tests[*]": Effect.UPDATE,
            "healthcheck.interval": Effect.UPDATE,
            "healthcheck.timeout": Effect.UPDATE,
            "healthcheck.startPeriod": Effect.UPDATE,
            "healthcheck.retries": Effect.UPDATE,
            "restart": Effect.UPDATE,
            "maxRetryCount": Effect.UPDATE,
            "memory": Effect.UPDATE,
            "memorySwap": Effect.UPDATE,
            "cpuShares": Effect.UPDATE,
            "start": Effect.UPDATE,
            "mustRun": Effect.UPDATE,
            "wait": Effect.UPDATE,
            "waitTimeout": Effect.UPDATE,
            "destroyGraceSeconds": Effect.UPDATE,
            "removeVolumes": Effect.UPDATE,
        },
        required=("image",),
        unordered=frozenset({"envs", "labels", "mounts", "volumes", "networksAdvanced"}),
        autonamed=True,
        delete_before_replace=True,
    )

    def create(self, connection: DockerHost, call: Call) -> Created:
        """Create the container and start it; it counts as created even if it then fails."""
        inputs = call.inputs
        auth = connection.registry_auth(inputs["image"])

        def make(client: docker.DockerClient) -> str:
            find_image(client, inputs["image"], auth)
            made = client.api.create_container_from_config(  # type: ignore[no-untyped-call]
                _config(inputs), inputs["name"]
            )
            return str(made["Id"])

        identifier = connection.ask(make)
        try:
            connection.ask(lambda client: _connect_networks(client, identifier, inputs))
            if inputs.get("start", True):
                connection.ask(lambda client: client.api.start(identifier))
                if inputs.get("wait"):
                    _wait(connection, identifier, float(inputs.get("waitTimeout", _WAIT_SECONDS)))
        except ProviderError as error:
            raise PartlyCreated(identifier, {}, str(error)) from error
        return Created(identifier, connection.ask(lambda client: _outputs(client, identifier)))

    def update(self, connection: DockerHost, call: Call, old: Resource) -> Props:
        """Start the container if it was found stopped, and set its restart policy and limits."""
        inputs, before = call.inputs, old.inputs

        def change(client: docker.DockerClient) -> Props:
            if (
                inputs.get("mustRun", True)
                and not before.get("mustRun", True)
                and inputs.get("start", True)
            ):
                client.api.start(old.id)
            limits = ("restart", "maxRetryCount", "memory", "memorySwap", "cpuShares")
            if any(inputs.get(key) != before.get(key) for key in limits):
                client.api.update_container(
                    old.id,
                    restart_policy=_restart(inputs),  # type: ignore[arg-type]
                    mem_limit=inputs.get("memory", 0) * _MEBIBYTE,
                    memswap_limit=inputs.get("memorySwap", 0) * _MEBIBYTE,
                    cpu_shares=inputs.get("cpuShares", 0),
                )
            return _outputs(client, old.id)

        return connection.ask(change)

    def delete(self, connection: DockerHost, call: Call, old: Resource) -> None:
        """Stop the container within its grace (default 0) and remove it; it may be gone already."""
        grace = int(call.inputs.get("destroyGraceSeconds", 0))
        volumes = bool(call.inputs.get("removeVolumes", True))

        def remove(client: docker.DockerClient) -> None:
            client.api.stop(old.id, timeout=grace)
            client.api.remove_container(old.id, v=volumes, force=True)

        connection.ask(gone_is_fine(remove))

    def read(self, connection: DockerHost, resource: Resource) -> Resource | None:
        """Look it up by its id; a stopped one gets `mustRun` false, and so an update starts it."""
        found = connection.ask(there(lambda client: client.api.inspect_container(resource.id)))
        if found is None:
            return None
        if found["State"]["Status"] == "running" or not resource.inputs.get("mustRun", True):
            return resource
        return copy_of(resource, inputs={**resource.inputs, "mustRun": False})


def _config(inputs: Props) -> dict[str, Any]:
    """Return a container as Docker's API takes it."""
    ports = inputs.get("ports", [])
    config: dict[str, Any] = {
        "Image": inputs["image"],
        "Hostname": inputs.get("hostname", ""),
        "User": inputs.get("user", ""),
        "WorkingDir": inputs.get("workingDir", ""),
        "Env": inputs.get("envs", []),
        "Cmd": inputs.get("command"),
        "Entrypoint": inputs.get("entrypoints"),
        "Labels": {each["label"]: each.get("value", "") for each in inputs.get("labels", [])},
        "StopSignal": inputs.get("stopSignal", ""),
        "StopTimeout": inputs.get("stopTimeout"),
        "ExposedPorts": {_port(port): {} for port in ports},
        "Volumes": {each["containerPath"]: {} for each in inputs.get("volumes", [])},
        "HostConfig": _host_config(inputs),
    }
    if "healthcheck" in inputs:
        check = inputs["healthcheck"]
        config["Healthcheck"] = {
            "Test": check.get("tests"),
            "Interval": _nanoseconds(check.get("interval")),
            "Timeout": _nanoseconds(check.get("timeout")),
            "StartPeriod": _nanoseconds(check.get("startPeriod")),
            "Retries": check.get("retries", 0),
        }
    return config


def _host_config(inputs: Props) -> dict[str, Any]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in inputs.get("ports", []):
        bindings.setdefault(_port(port), []).append(
            {"HostIp": port.get("ip", "0.0.0.0"), "HostPort": str(port.get("external", ""))}  # noqa: S104 - the provider's default
        )
    capabilities = inputs.get("capabilities", {})
    return {
        "Privileged": bool(inputs.get("privileged")),
        "ReadonlyRootfs": bool(inputs.get("readOnly")),
        "RestartPolicy": _restart(inputs),
        "PortBindings": bindings,
        "Mounts": [
            {
                "Type": each["type"],
                "Source": each.get("source", ""),
                "Target": each["target"],
                "ReadOnly": bool(each.get("readOnly")),
            }
            for each in inputs.get("mounts", [])
        ],
        "Binds": [_bind(each) for each in inputs.get("volumes", []) if _source(each)],
        "NetworkMode": inputs.get("networkMode", "bridge"),
        "SecurityOpt": inputs.get("securityOpts"),
        "CapAdd": capabilities.get("adds"),
        "CapDrop": capabilities.get("drops"),
        "Tmpfs": inputs.get("tmpfs"),
        "Init": bool(inputs.get("init")),
        "Memory": inputs.get("memory", 0) * _MEBIBYTE,
        "MemorySwap": inputs.get("memorySwap", 0) * _MEBIBYTE,
        "NanoCpus": round(float(inputs.get("cpus", "0")) * _NANO),
        "CpuShares": inputs.get("cpuShares", 0),
        "StorageOpt": inputs.get("storageOpts"),
        "LogConfig": {"Type": inputs.get("logDriver", ""), "Config": inputs.get("logOpts", {})},
    }


def _restart(inputs: Props) -> dict[str, Any]:
    return {
        "Name": inputs.get("restart", "no"),
        "MaximumRetryCount": inputs.get("maxRetryCount", 0),
    }


def _port(port: Props) -> str:
    return f"{port['internal']}/{port.get('protocol', 'tcp')}"


def _source(volume: Props) -> str:
    return str(volume.get("hostPath") or volume.get("volumeName") or "")


def _bind(volume: Props) -> str:
    mode = "ro" if volume.get("readOnly") else "rw"
    return f"{_source(volume)}:{volume['containerPath']}:{mode}"


def _nanoseconds(text: str | None) -> int:
    parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)", text or "")
    return int(sum(float(number) * _UNITS[unit] for number, unit in parts))


def _connect_networks(client: docker.DockerClient, identifier: str, inputs: Props) -> None:
    """Put the container on its own networks instead of the default one, one after the other."""
    networks = inputs.get("networksAdvanced", [])
    if not networks:
        return
    client.api.disconnect_container_from_network(identifier, "bridge")
    for network in networks:
        client.api.connect_container_to_network(
            identifier, network["name"], aliases=network.get("aliases")
        )


def _wait(connection: DockerHost, identifier: str, limit: float) -> None:
    deadline = time.monotonic() + limit
    while True:
        state = connection.ask(lambda client: client.api.inspect_container(identifier))["State"]
        if "Health" not in state:
            raise ProviderError("'wait' needs a health check, and the container has none")
        if state["Health"]["Status"] == "healthy":
            return
        if time.monotonic() > deadline:
            raise ProviderError(f"container failed to be in healthy state within {limit:.0f} s")
        time.sleep(1)


def _outputs(client: docker.DockerClient, identifier: str) -> Props:
    found = client.api.inspect_container(identifier)
    return {
        "hostname": found["Config"]["Hostname"],
        "networkDatas": [
            {"networkName": name, "ipAddress": each["IPAddress"], "gateway": each["Gateway"]}
            for name, each in sorted(found["NetworkSettings"]["Networks"].items())
        ],
    }
