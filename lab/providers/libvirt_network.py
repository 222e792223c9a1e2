"""Virtual networks with NAT."""

from __future__ import annotations

import ipaddress
import xml.etree.ElementTree as ET

from lab.providers.handler import Call, Created, Handler, Resource, copy_of
from lab.providers.provider_errors import ProviderError
from lab.providers.schema import Effect, Schema
from lab.providers.values import Props
from lab.providers.virsh_client import NotThere, Virsh, text_of


class LibvirtNetwork(Handler[Virsh]):
    """`libvirt:index/network:Network`, of mode `nat`."""

    schema = Schema(
        type="libvirt:index/network:Network",
        inputs={
            "name": Effect.REPLACE,
            "mode": Effect.REPLACE,
            "bridge": Effect.REPLACE,
            "domain": Effect.REPLACE,
            "addresses[*]": Effect.REPLACE,
            # The provider reports success for a change of these two and does nothing.
            "dhcp.enabled": Effect.COUNT,
            "dns.enabled": Effect.UPDATE,
            "autostart": Effect.UPDATE,
        },
        autonamed=True,
    )

    def create(self, connection: Virsh, call: Call) -> Created:
        """Define the network and start it."""
        inputs = call.inputs
        if inputs.get("mode", "nat") != "nat":
            raise ProviderError(f"mode: the lab implements nat (got {inputs['mode']})")
        name = inputs["name"]
        with connection.networks:
            connection.define("net-define", _document(inputs))
            try:
                connection("net-start", name)
                if inputs.get("autostart"):
                    connection("net-autostart", name)
            except ProviderError:
                connection("net-undefine", name)
                raise
        document = connection.xml("net-dumpxml", name)
        bridge = document.find("bridge")
        return Created(
            text_of(document, "uuid"),
            {"bridge": "" if bridge is None else bridge.get("name", ""), "mode": "nat"},
        )

    def update(self, connection: Virsh, call: Call, old: Resource) -> Props:
        """Start the network if it is off, and set its autostart."""
        if not _active(connection, old.id):
            connection("net-start", old.id)
        if call.inputs.get("autostart") != old.inputs.get("autostart"):
            flag = [] if call.inputs.get("autostart") else ["--disable"]
            connection("net-autostart", old.id, *flag)
        return {key: old.outputs[key] for key in ("bridge", "mode") if key in old.outputs}

    def delete(self, connection: Virsh, call: Call, old: Resource) -> None:  # noqa: ARG002
        """Stop the network and undefine it; like the provider, fail if it is gone."""
        if _active(connection, old.id):
            connection("net-destroy", old.id)
        connection("net-undefine", old.id)

    def read(self, connection: Virsh, resource: Resource) -> Resource | None:
        """Look it up by its UUID."""
        try:
            info = connection("net-info", resource.id)
        except NotThere:
            return None
        lines = [line.split() for line in info.splitlines()]
        return copy_of(
            resource, inputs={**resource.inputs, "autostart": ["Autostart:", "yes"] in lines}
        )


def _active(connection: Virsh, network: str) -> bool:
    lines = connection("net-info", network).splitlines()
    return any(line.split() == ["Active:", "yes"] for line in lines)


def _document(inputs: Props) -> ET.Element:
    document = ET.Element("network")
    ET.SubElement(document, "name").text = inputs["name"]
    nat = ET.SubElement(ET.SubElement(document, "forward", mode="nat"), "nat")
    ET.SubElement(nat, "port", start="1024", end="65535")
    bridge = ET.SubElement(document, "bridge", stp="on")
    if inputs.get("bridge"):
        bridge.set("name", inputs["bridge"])
    if inputs.get("domain"):
        ET.SubElement(document, "domain", name=inputs["domain"])
    if inputs.get("dns", {}).get("enabled"):
        ET.SubElement(document, "dns", enable="yes")
    for address in inputs.get("addresses", []):
        network = ipaddress.ip_network(address, strict=False)
        family = f"ipv{network.version}"
        ip = ET.SubElement(
            document, "ip", family=family, address=str(network[1]), prefix=str(network.prefixlen)
        )
        if inputs.get("dhcp", {}).get("enabled", True):
            dhcp = ET.SubElement(ip, "dhcp")
            ET.SubElement(dhcp, "range", start=str(network[2]), end=str(network[-2]))
    return document
