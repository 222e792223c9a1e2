"""Checks of the edge: its certificates and its machine."""

import ipaddress
import re
from collections.abc import Iterable

from components.config.checks import addresses
from components.config.checks.text import twice
from components.config.models.edge import EdgeVm
from components.config.models.stack import Stack
from components.edge.domains import domains
from components.edge.edge_vm import edge_address, edge_name


def edge(stack: Stack) -> Iterable[str]:
    """Yield the contradictions within the edge's config."""
    yield from _tls(stack)
    edge = stack.edge
    if edge.vm is not None:
        yield from _vm(stack, edge.vm)
        if edge.host is not None:
            yield (
                "edge.host: cannot be combined with edge.vm; the edge is either another machine or"
                f" a VM made here (got {edge.host})"
            )
    if edge.host is not None and edge.host_key is None:
        yield (
            "edge.host_key: is required with edge.host, so that the first connection is verified"
            f" already; see `ssh-keyscan {edge.host}` (got nothing)"
        )


def _tls(stack: Stack) -> Iterable[str]:
    tls = stack.edge.tls
    if tls is None:
        return
    yield from twice(
        "edge.tls.certificates", [each.fullchain for each in tls.certificates], "fullchain"
    )
    named = domains(stack.services.values())
    if not named:
        yield "edge.tls: no service has hosts that need certificates; remove it (got a map)"
    from_files = tls.folder is not None or bool(tls.certificates)
    if not from_files and tls.acme is None and not tls.self_signed:
        yield (
            "edge.tls: has no source of certificates; give folder, certificates or acme, or"
            " self_signed: true (got none of them)"
        )
    if tls.acme is not None and not from_files and not tls.self_signed:
        for domain in named:
            if re.fullmatch(r"[0-9.]+|[^.]*", domain):
                yield (
                    "edge.tls.acme: obtains certificates for public domains only; give one for"
                    " this name in edge.tls.certificates, or set edge.tls.self_signed: true"
                    f" (got {domain})"
                )
            if domain.startswith("*."):
                yield (
                    "edge.tls.acme: cannot prove a wildcard over HTTP; give a certificate for it"
                    f" in edge.tls.certificates, or set edge.tls.self_signed: true (got {domain})"
                )


def _vm(stack: Stack, vm: EdgeVm) -> Iterable[str]:
    farm, network, path = stack.farm, stack.farm.network, "edge.vm.address"
    address = edge_address(farm, vm)
    if address is None:
        yield (
            f"{path}: is required with a bridge, where Gatehouse runs no DHCP server (got nothing)"
        )
        return
    if network.bridge is not None:
        yield from addresses.on_bridge(path, address, network)
        for index, other in enumerate(network.addresses):
            if other.ip == address.ip:
                yield f"{path}: is farm.network.addresses.{index} too (got {address})"
    elif address.network != farm.cidr:
        yield f"{path}: is not in farm.network.cidr, {farm.cidr} (got {address})"
    else:
        yield from addresses.of_a_machine(path, address)
        if address.ip == farm.cidr[1]:
            yield (
                f"{path}: is the hypervisor's, as the first one of farm.network.cidr; choose"
                f" another one (got {address})"
            )
    if vm.mac is not None:
        yield from addresses.multicast("edge.vm.mac", vm.mac)
        for index, mac in enumerate(network.macs):
            if mac == vm.mac:
                yield f"edge.vm.mac: is farm.network.macs.{index} too (got {mac})"
    listening = ipaddress.ip_address(stack.edge.bind)
    if not listening.is_unspecified and listening != address.ip:
        yield (
            f"edge.bind: is not an address of {edge_name(farm)}, which has {address.ip}; remove it"
            f" (got {stack.edge.bind})"
        )
