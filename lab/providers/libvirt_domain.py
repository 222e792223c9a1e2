"""Domains: the VMs."""

from __future__ import annotations

import secrets
import xml.etree.ElementTree as ET

from lab.providers.handler import Call, Created, Handler, Resource, copy_of
from lab.providers.provider_errors import ProviderError
from lab.providers.schema import Effect, Schema
from lab.providers.values import Props
from lab.providers.virsh_client import NotThere, Virsh, text_of

_DEFAULT_MEMORY = 512
"""MiB, the provider's."""


class LibvirtDomain(Handler[Virsh]):
    """`libvirt:index/domain:Domain`."""

    schema = Schema(
        type="libvirt:index/domain:Domain",
        inputs={
            "name": Effect.REPLACE,
            "description": Effect.REPLACE,
            "type": Effect.REPLACE,
            "vcpu": Effect.REPLACE,
            "memory": Effect.REPLACE,
            "machine": Effect.REPLACE,
            "cpu.mode": Effect.COUNT,
            # Another volume or network in place of the old one is an update that does nothing.
            "disks[*].volumeId": Effect.COUNT,
            "networkInterfaces[*].networkId": Effect.UPDATE,
            "networkInterfaces[*].bridge": Effect.UPDATE,
            "networkInterfaces[*].mac": Effect.UPDATE,
            "consoles[*].type": Effect.REPLACE,
            "consoles[*].targetPort": Effect.REPLACE,
            "consoles[*].targetType": Effect.REPLACE,
            "autostart": Effect.UPDATE,
            "running": Effect.UPDATE,
            "qemuAgent": Effect.UPDATE,
        },
        autonamed=True,
    )

    def create(self, connection: Virsh, call: Call) -> Created:
        """Define the domain and start it, without waiting."""
        inputs = call.inputs
        name = inputs["name"]
        connection.define("define", _document(connection, inputs))
        try:
            if inputs.get("autostart"):
                connection("autostart", name)
            connection("start", name)
        except ProviderError:
            # The provider would leave it defined, and labs would fill up with them.
            connection("undefine", name)
            raise
        if inputs.get("running") is False:
            connection("destroy", name)
        return Created(
            connection("domuuid", name).strip(), {"running": inputs.get("running", True)}
        )

    def update(self, connection: Virsh, call: Call, old: Resource) -> Props:
        """Start the domain if it is off, and set its autostart; the provider does no more."""
        inputs, before = call.inputs, old.inputs
        if connection("domstate", old.id).strip() != "running":
            connection("start", old.id)
        if inputs.get("autostart") != before.get("autostart"):
            connection("autostart", old.id, *([] if inputs.get("autostart") else ["--disable"]))
        return {"running": True}

    def delete(self, connection: Virsh, call: Call, old: Resource) -> None:  # noqa: ARG002
        """Destroy the domain and undefine it; like the provider, fail if it is gone."""
        if connection("domstate", old.id).strip() in ("running", "paused"):
            connection("destroy", old.id)
        connection(
            *("undefine", old.id),
            *("--nvram", "--snapshots-metadata", "--managed-save", "--checkpoints-metadata"),
        )

    def read(self, connection: Virsh, resource: Resource) -> Resource | None:
        """Look it up by its UUID; a domain that is off has `running` false in its inputs."""
        try:
            document = connection.xml("dumpxml", resource.id)
        except NotThere:
            return None
        inputs: Props = dict(resource.inputs)
        running = connection("domstate", resource.id).strip() == "running"
        if running != inputs.get("running", True):
            inputs["running"] = running
        elif "running" in inputs and running:
            inputs["running"] = True
        memory = document.find("memory")
        if memory is not None and "memory" in inputs:
            inputs["memory"] = int(memory.text or 0) // 1024
        if "vcpu" in inputs:
            inputs["vcpu"] = int(text_of(document, "vcpu"))
        outputs = {**resource.outputs, "running": running}
        return copy_of(resource, inputs=inputs, outputs=outputs)


def _document(connection: Virsh, inputs: Props) -> ET.Element:
    """Return a domain's XML as the provider writes it, with its defaults."""
    document = ET.Element("domain", type=inputs.get("type", "kvm"))
    ET.SubElement(document, "name").text = inputs["name"]
    if inputs.get("description"):
        ET.SubElement(document, "description").text = inputs["description"]
    memory = str(inputs.get("memory", _DEFAULT_MEMORY))
    ET.SubElement(document, "memory", unit="MiB").text = memory
    ET.SubElement(document, "vcpu").text = str(inputs.get("vcpu", 1))
    system = ET.SubElement(document, "os")
    ET.SubElement(system, "type", machine=inputs.get("machine", "pc")).text = "hvm"
    features = ET.SubElement(document, "features")
    for feature in ("pae", "acpi", "apic"):
        ET.SubElement(features, feature)
    if inputs.get("cpu", {}).get("mode"):
        ET.SubElement(document, "cpu", mode=inputs["cpu"]["mode"])
    devices = ET.SubElement(document, "devices")
    for index, disk in enumerate(inputs.get("disks", [])):
        _add_disk(devices, connection, index, disk["volumeId"])
    for interface in inputs.get("networkInterfaces", []):
        _add_interface(devices, connection, interface)
    for console in inputs.get("consoles", []):
        _add_console(devices, console)
    channel = ET.SubElement(devices, "channel", type="unix")
    ET.SubElement(channel, "target", type="virtio", name="org.qemu.guest_agent.0")
    ET.SubElement(devices, "graphics", type="spice", autoport="yes")
    random = ET.SubElement(devices, "rng", model="virtio")
    ET.SubElement(random, "backend", model="random").text = "/dev/urandom"
    return document


def _add_disk(devices: ET.Element, connection: Virsh, index: int, key: str) -> None:
    volume = connection.xml("vol-dumpxml", key)
    form = volume.find("target/format")
    disk = ET.SubElement(devices, "disk", type="volume", device="disk")
    kind = "raw" if form is None else form.get("type", "raw")
    ET.SubElement(disk, "driver", name="qemu", type=kind)
    pool = connection("vol-pool", key).strip()
    ET.SubElement(disk, "source", pool=pool, volume=text_of(volume, "name"))
    ET.SubElement(disk, "target", dev=f"vd{chr(ord('a') + index)}", bus="virtio")


def _add_interface(devices: ET.Element, connection: Virsh, inputs: Props) -> None:
    mac = inputs.get("mac") or ":".join(["52:54:00", *(f"{b:02x}" for b in secrets.token_bytes(3))])
    if inputs.get("networkId"):
        interface = ET.SubElement(devices, "interface", type="network")
        network = connection("net-name", inputs["networkId"]).strip()
        ET.SubElement(interface, "source", network=network)
    elif inputs.get("bridge"):
        interface = ET.SubElement(devices, "interface", type="bridge")
        ET.SubElement(interface, "source", bridge=inputs["bridge"])
    else:
        raise ProviderError("networkInterfaces: each needs a networkId or a bridge")
    ET.SubElement(interface, "mac", address=mac)
    ET.SubElement(interface, "model", type="virtio")


def _add_console(devices: ET.Element, inputs: Props) -> None:
    if inputs["type"] != "pty":
        raise ProviderError(f"consoles: the lab implements pty (got {inputs['type']})")
    console = ET.SubElement(devices, "console", type="pty")
    target = ET.SubElement(console, "target", port=inputs["targetPort"])
    if inputs.get("targetType"):
        target.set("type", inputs["targetType"])
