"""Checks across keys: keys that contradict each other, or do not fit the machine.

Each check yields ``path: what is wrong; what to do (got value)``. Pure: facts about the machine are
arguments. Every check takes time in proportion to the size of the config.
"""

from collections.abc import Iterable

from components.config.checks import (
    claims,
    edge,
    farm,
    folders,
    here,
    names,
    ports,
    registries,
    service,
)
from components.config.machine import MachineFacts
from components.config.models.stack import Stack
from components.placement import vm_names

_SOCKET_FOLDER_LIMIT = 85
"""HAProxy allows 97 characters in a socket's path, of which `/master.sock` takes 12."""


def across(stack: Stack) -> Iterable[str]:
    """Yield every contradiction within the config itself."""
    vms = vm_names(stack.farm.name, stack.farm.vms)
    allowed = folders.allowed(stack.farm)
    yield from farm.farm(stack)
    for name, each in stack.services.items():
        yield from service.service(name, each, stack.farm, vms, allowed)
    yield from names.names(stack.services, vms)
    yield from claims.claims(stack.services)
    yield from edge.edge(stack)
    yield from ports.ports(stack)
    yield from registries.registries(stack.registries)


def in_stack(stack: Stack, name: str) -> Iterable[str]:
    """Yield the problems of this config in the Pulumi stack called ``name``."""
    folder = f"{stack.edge.folder}/{name}"
    if len(folder) > _SOCKET_FOLDER_LIMIT:
        yield (
            f"edge.folder: with the stack's name it has {len(folder)} characters, and HAProxy's"
            f" sockets in it allow {_SOCKET_FOLDER_LIMIT}; shorten it (got {stack.edge.folder})"
        )


def on_this_machine(stack: Stack, facts: MachineFacts) -> Iterable[str]:
    """Yield the problems of this config on the machine that the facts describe."""
    yield from here.here(stack, facts)
    yield from ports.ports(stack, own=[str(address.ip) for _, address in facts.networks])
