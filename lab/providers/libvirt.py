"""The libvirt provider (0.5.4, which is terraform-provider-libvirt 0.8.1)."""

from __future__ import annotations

from lab.providers.handler import Package
from lab.providers.libvirt_domain import LibvirtDomain
from lab.providers.libvirt_network import LibvirtNetwork
from lab.providers.libvirt_storage import LibvirtPool, LibvirtVolume
from lab.providers.schema import Effect, Schema
from lab.providers.virsh_client import Virsh

PACKAGE = Package(
    name="libvirt",
    version="0.5.4",
    provider=Schema(
        type="pulumi:providers:libvirt", inputs={"uri": Effect.UPDATE}, required=("uri",)
    ),
    connect=lambda inputs: Virsh(inputs["uri"]),
    handlers=(LibvirtPool(), LibvirtNetwork(), LibvirtVolume(), LibvirtDomain()),
)
