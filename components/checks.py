"""What no single key can tell: keys that contradict each other, or the machine.

Each check yields ``path: what is wrong (got what)``. Pure: what is known of the machine is given.
"""

import ipaddress
from collections.abc import Iterable, Sequence

from components.edge.domains import domains
from components.machine import Facts
from components.models.farm import Farm
from components.models.http import HEADER_BYTES, Http
from components.models.service import Service
from components.models.stack import Stack
from components.placement import allowed, vm_names
from components.units import format_size

_OWN_LABELS = ("traefik.", "gatehouse.")
_HOSTNAME_LIMIT = 63  # of Linux and DNS
_SOCKET_FOLDER_LIMIT = 85  # HAProxy keeps 97 characters for a socket's path: `/master.sock` has 12
_LIBVIRT_BRIDGE = "virbr"  # what libvirt calls the bridges of its own networks


def across(stack: Stack) -> Iterable[str]:
    """Yield every contradiction within the config itself."""
    names = vm_names(stack.farm.name, stack.farm.vms)
    yield from _farm(stack.farm)
    for name, service in stack.services.items():
        yield from _service(f"services.{name}", service)
        yield from _placement(f"services.{name}", name, service, names)
        yield from _limits(f"services.{name}", service, stack.farm)
        yield from _http(f"services.{name}.http", service.http)
        yield from _aliases(f"services.{name}", name, service, stack)
    yield from _claims(stack)
    yield from _edge(stack)


def in_stack(stack: Stack, name: str) -> Iterable[str]:
    """Yield what cannot work in the Pulumi stack called ``name``."""
    folder = f"{stack.edge.folder}/{name}"
    if len(folder) > _SOCKET_FOLDER_LIMIT:
        yield (
            f"edge.folder: with the stack's name it has {len(folder)} characters, and HAProxy's"
            f" sockets in it allow {_SOCKET_FOLDER_LIMIT}; shorten it (got {stack.edge.folder})"
        )


def on_this_machine(stack: Stack, facts: Facts) -> Iterable[str]:
    """Yield what cannot work on the machine that the facts are of."""
    farm = stack.farm
    yield from facts.certificate_problems
    if facts.image_problem is not None:
        yield (
            f"farm.image: {facts.image_problem}; give a readable qcow2 file or a URL"
            f" (got {farm.image})"
        )
    if facts.memory is not None and farm.vms * farm.memory > facts.memory:
        yield (
            f"farm.memory: {farm.vms} VMs of {format_size(farm.memory)} do not fit the hypervisor's"
            f" {facts.memory / 2**30:.1f}GiB; lower farm.memory or farm.vms"
            f" (got {format_size(farm.memory)})"
        )
    if farm.domain_type == "kvm" and not facts.kvm:
        yield (
            "farm.domain_type: the hypervisor has no /dev/kvm; turn virtualisation on in its"
            " firmware, or use qemu, which emulates and is slow (got kvm)"
        )
    for name, service in stack.services.items():
        for status, page in service.http.error_pages.items():
            if page in facts.page_problems:
                yield (
                    f"services.{name}.http.error_pages.{status}: {facts.page_problems[page]}"
                    f" (got {page})"
                )
    if farm.network.bridge is None:
        cidr = farm.cidr
        for interface, address in facts.networks:
            own = interface.startswith(_LIBVIRT_BRIDGE) and address.network == cidr
            if address.network.overlaps(cidr) and not own:
                yield (
                    f"farm.network.cidr: overlaps {address.network} of this machine's interface"
                    f" {interface}; choose another one (got {cidr})"
                )


def _farm(farm: Farm) -> Iterable[str]:
    network = farm.network
    if network.bridge is None:
        usable = farm.cidr.num_addresses - 3  # network, gateway, broadcast
        if farm.vms > usable:
            yield (
                f"farm.vms: must be at most {usable}, the addresses that farm.network.cidr"
                f" {farm.cidr} has for VMs (got {farm.vms})"
            )
    elif len(network.addresses) < farm.vms:
        yield (
            f"farm.network.addresses: must have one for each of the {farm.vms} VMs"
            f" (got {len(network.addresses)})"
        )
    if network.macs and len(network.macs) < farm.vms:
        yield (
            f"farm.network.macs: must have one for each of the {farm.vms} VMs"
            f" (got {len(network.macs)})"
        )
    yield from _twice("farm.network.addresses", [str(each.ip) for each in network.addresses])
    yield from _twice("farm.network.macs", network.macs)
    for index, mac in enumerate(network.macs):
        if int(mac[:2], 16) & 1:
            yield f"farm.network.macs.{index}: is a multicast address (got {mac})"
    for index, address in enumerate(network.addresses):
        path = f"farm.network.addresses.{index}"
        if address.ip in (address.network.network_address, address.network.broadcast_address):
            yield f"{path}: is the network's own address, not a machine's (got {address})"
        if network.gateway == str(address.ip):
            yield f"{path}: is farm.network.gateway too (got {address})"
        elif ipaddress.ip_address(network.gateway or "0.0.0.0") not in address.network:  # noqa: S104
            yield f"{path}: is not in one network with farm.network.gateway (got {address})"


def _service(path: str, service: Service) -> Iterable[str]:
    for name in service.secret_env:
        if name in service.env:
            yield f"{path}.secret_env.{name}: is in env too; give it once (got {name})"
    for label in service.labels:
        if label.startswith(_OWN_LABELS):
            yield f"{path}.labels.{label}: is Gatehouse's own to set (got {label})"
    yield from _twice(f"{path}.volumes", [volume.path for volume in service.volumes], "path")
    for index, volume in enumerate(service.volumes):
        if service.replicas > 1 and not volume.shared:
            yield (
                f"{path}.volumes.{index}: {service.replicas} replicas would write to it; say"
                f" `shared: true` if they may, or `replicas: 1` (got {volume.path})"
            )
    prefix = service.path.rstrip("/")
    if not f"{service.edge_check_path}/".startswith(f"{prefix}/"):
        yield (
            f"{path}.health.path: must be below {path}.path, {service.path}, because the edge asks"
            f" it through the service's own route (got {service.health.path})"
        )
    if service.strip_path and service.path.rstrip("/") == "":
        yield f"{path}.strip_path: needs a path to strip (got {service.path})"


def _placement(path: str, name: str, service: Service, names: Sequence[str]) -> Iterable[str]:
    wanted = service.placement.vms or ()
    yield from _twice(f"{path}.placement.vms", wanted)
    for index, vm in enumerate(wanted):
        if vm not in names:
            yield (
                f"{path}.placement.vms.{index}: is no VM of this farm, which has"
                f" {names[0]} to {names[-1]} (got {vm})"
            )
    usable = allowed(service.placement.vms, names)
    most = service.placement.max_per_vm
    if usable and most is not None and service.replicas > most * len(usable):
        yield (
            f"{path}.replicas: at most {most * len(usable)} can be placed, {most} on each of"
            f" {len(usable)} VMs; raise placement.max_per_vm or farm.vms (got {service.replicas})"
        )
    longest = f"{name}-{names[-1]}-{service.replicas}"
    if len(longest) > _HOSTNAME_LIMIT:
        yield (
            f"{path}: with the VM's name and a number it makes {longest}, which is longer than a"
            f" host name may be, {_HOSTNAME_LIMIT}; shorten it or farm.name (got {name})"
        )


def _limits(path: str, service: Service, farm: Farm) -> Iterable[str]:
    if service.memory is not None and service.memory > farm.memory:
        yield (
            f"{path}.memory: is more than a VM has, {format_size(farm.memory)}"
            f" (got {format_size(service.memory)})"
        )
    if service.cpus is not None and service.cpus > farm.vcpus:
        yield f"{path}.cpus: is more than a VM has, {farm.vcpus} (got {service.cpus:g})"


def _http(path: str, http: Http) -> Iterable[str]:
    yield from _twice(f"{path}.allow", http.allow)
    seen: set[str] = set()
    for name in http.headers:
        if name.lower() in seen:
            yield f"{path}.headers.{name}: is given twice, as case means nothing (got {name})"
        seen.add(name.lower())
    if http.header_bytes > HEADER_BYTES:
        yield (
            f"{path}.headers: have {http.header_bytes} bytes together, and HAProxy's buffer has"
            f" room for {HEADER_BYTES} (got a map)"
        )
    if http.max_body is not None and http.protocol == "h2c":
        yield (
            f"{path}.max_body: cannot go with protocol h2c, where requests are streams that do not"
            f" tell their length (got {format_size(http.max_body)})"
        )


def _aliases(path: str, name: str, service: Service, stack: Stack) -> Iterable[str]:
    aliases = service.http.aliases
    yield from _twice(f"{path}.http.aliases", aliases)
    if aliases and service.main_domain is None:
        yield (
            f"{path}.http.aliases: need a whole domain in {path}.hosts to redirect to"
            f" (got {aliases[0]})"
        )
    for index, alias in enumerate(aliases):
        for other, each in stack.services.items():
            if alias in each.hosts:
                yield (
                    f"{path}.http.aliases.{index}: is served by services.{other}, and an alias"
                    f" only redirects (got {alias})"
                )
            elif other != name and alias in each.http.aliases:
                yield (
                    f"{path}.http.aliases.{index}: is an alias of services.{other} too"
                    f" (got {alias})"
                )


def _claims(stack: Stack) -> Iterable[str]:
    claimed: dict[tuple[str, str], str] = {}
    for name, service in stack.services.items():
        yield from _twice(f"services.{name}.hosts", service.hosts)
        for index, host in enumerate(service.hosts):
            owner = claimed.setdefault((host, service.path.rstrip("/")), name)
            if owner != name:
                yield (
                    f"services.{name}.hosts.{index}: is claimed by services.{owner} with the same"
                    f" path {service.path} (got {host})"
                )
    for (wild, below), name in claimed.items():
        for (host, path), other in claimed.items():
            shadowed = _covers(wild, host) and below.startswith(f"{path}/")
            if shadowed and other != name:
                yield (
                    f"services.{name}.path: is shadowed by services.{other}, which takes all of"
                    f" {path or '/'} on {host}, and a domain wins over {wild} (got {below})"
                )


def _covers(wild: str, host: str) -> bool:
    return (
        wild.startswith("*.") and not host.startswith("*.") and (host.partition(".")[2] == wild[2:])
    )


def _tls(stack: Stack) -> Iterable[str]:
    edge, tls = stack.edge, stack.edge.tls
    if tls is None:
        return
    if tls.port == edge.port:
        yield f"edge.tls.port: is edge.port too (got {tls.port})"
    if edge.host is not None and tls.port == edge.ssh_port:
        yield f"edge.tls.port: is edge.ssh_port too (got {tls.port})"
    yield from _twice(
        "edge.tls.certificates", [each.fullchain for each in tls.certificates], "fullchain"
    )
    from_files = tls.folder is not None or bool(tls.certificates)
    if not from_files and tls.acme is None and not tls.self_signed:
        yield (
            "edge.tls: says nowhere where certificates come from; give folder, certificates or"
            " acme, or self_signed: true (got none of them)"
        )
    if tls.acme is not None and not from_files and not tls.self_signed:
        for domain in domains(stack.services.values()):
            if domain.startswith("*."):
                yield (
                    "edge.tls.acme: cannot prove a wildcard over HTTP; give a certificate for it"
                    f" in edge.tls.certificates, or set edge.tls.self_signed: true (got {domain})"
                )


def _edge(stack: Stack) -> Iterable[str]:
    yield from _tls(stack)
    edge = stack.edge
    if edge.host is None:
        return
    if edge.host_key is None:
        yield (
            "edge.host_key: is required with edge.host, so that the first connection is verified"
            f" already; see `ssh-keyscan {edge.host}` (got nothing)"
        )
    if edge.port == edge.ssh_port:
        yield f"edge.port: is edge.ssh_port too (got {edge.port})"


def _twice(path: str, values: Sequence[str], key: str = "") -> Iterable[str]:
    for index, value in enumerate(values):
        if value in values[:index]:
            where = f"{path}.{index}.{key}" if key else f"{path}.{index}"
            yield f"{where}: is given twice (got {value})"
