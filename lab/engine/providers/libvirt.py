"""The libvirt provider (0.5.4, which is terraform-provider-libvirt 0.8.1)."""

from __future__ import annotations

from lab.engine.handler import Package
from lab.engine.providers.libvirt_domain import Domain
from lab.engine.providers.libvirt_network import Network
from lab.engine.providers.libvirt_storage import Pool, Volume
from lab.engine.providers.virsh import Virsh
from lab.engine.schema import Effect, Schema

PACKAGE = Package(
    name="libvirt",
    version="0.5.4",
    provider=Schema(
        type="pulumi:providers:libvirt", inputs={"uri": Effect.UPDATE}, required=("uri",)
    ),
    connect=lambda inputs: Virsh(inputs["uri"]),
    handlers=(Pool(), Network(), Volume(), Domain()),
)
