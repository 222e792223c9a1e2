"""What no single key can tell: keys that contradict each other, or the machine.

Each check yields ``path: what is wrong (got what)``. Pure: what is known of the machine is given.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Interface

from components.edge.domains import domains
from components.edge.ports import http_ports
from components.edge.source import sources
from components.machine import Facts
from components.models.edge import EdgeVm
from components.models.farm import Farm, Network
from components.models.http import HEADER_BYTES, Http
from components.models.service import Service
from components.models.stack import Stack
from components.placement import allowed, vm_names
from components.units import format_size
from components.vm.controller import ssh_from
from components.vm.plan import edge_address, edge_name

_OWN_LABELS = ("traefik.", "gatehouse.")
_HOSTNAME_LIMIT = 63  # of Linux and DNS
_SOCKET_FOLDER_LIMIT = 85  # HAProxy keeps 97 characters for a socket's path: `/master.sock` has 12
_HTTP_KEYS = ("hosts", "path", "strip_path", "http")  # of a service
_SSH_PORT = 22
_LIBVIRT_BRIDGE = "virbr"  # what libvirt calls the bridges of its own networks


def across(stack: Stack) -> Iterable[str]:
    """Yield every contradiction within the config itself."""
    names = vm_names(stack.farm.name, stack.farm.vms)
    yield from _farm(stack)
    for name, service in stack.services.items():
        yield from _service(f"services.{name}", service)
        yield from _placement(f"services.{name}", name, service, names)
        yield from _limits(f"services.{name}", service, stack.farm)
        yield from _http(f"services.{name}.http", service.http)
        yield from _aliases(f"services.{name}", name, service, stack)
    yield from _claims(stack)
    yield from _edge(stack)
    yield from _tcp_ports(stack)


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
    edge = stack.edge.vm.memory if stack.edge.vm is not None else 0
    if facts.memory is not None and farm.vms * farm.memory + edge > facts.memory:
        beside = f" and the edge's {format_size(edge)}" if edge else ""
        yield (
            f"farm.memory: {farm.vms} VMs of {format_size(farm.memory)}{beside} do not fit the"
            f" hypervisor's {facts.memory / 2**30:.1f}GiB; lower farm.memory or farm.vms"
            f" (got {format_size(farm.memory)})"
        )
    if farm.domain_type == "kvm" and not facts.kvm:
        yield (
            "farm.domain_type: the hypervisor has no /dev/kvm; turn virtualisation on in its"
            " firmware, or use qemu, which emulates and is slow (got kvm)"
        )
    if not sources(stack, facts):
        way = f"edge.host {stack.edge.host} has no IPv4 address that this machine knows"
        if stack.edge.host is None:
            way = "this machine has no route to farm.network.addresses"
        yield (
            f"edge.source: {way}; give the address from which the VMs will see the edge"
            " (got nothing)"
        )
    if not ssh_from(farm, facts.own_addresses):
        yield (
            "farm.ssh_from: this machine has no route to farm.network.addresses; give the address"
            " from which the VMs will see it (got nothing)"
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


def _farm(stack: Stack) -> Iterable[str]:
    farm = stack.farm
    network = farm.network
    if network.bridge is None:
        usable = farm.cidr.num_addresses - 3  # network, gateway, broadcast
        usable -= stack.edge.vm is not None
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
        yield from _on_bridge(f"farm.network.addresses.{index}", address, network)


def _on_bridge(path: str, address: IPv4Interface, network: Network) -> Iterable[str]:
    yield from _a_machines(path, address)
    if network.gateway == str(address.ip):
        yield f"{path}: is farm.network.gateway too (got {address})"
    elif ipaddress.ip_address(network.gateway or "0.0.0.0") not in address.network:  # noqa: S104 - no bind
        yield f"{path}: is not in one network with farm.network.gateway (got {address})"


def _a_machines(path: str, address: IPv4Interface) -> Iterable[str]:
    if address.ip in (address.network.network_address, address.network.broadcast_address):
        yield f"{path}: is the network's own address, not a machine's (got {address})"


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
    yield from (_of_http if service.tcp is None else _of_tcp)(path, service)


def _of_http(path: str, service: Service) -> Iterable[str]:
    if not service.hosts:
        yield f"{path}.hosts: is required, or tcp for what is not HTTP (got nothing)"
    prefix = service.path.rstrip("/")
    if not f"{service.edge_check_path}/".startswith(f"{prefix}/"):
        yield (
            f"{path}.health.path: must be below {path}.path, {service.path}, because the edge asks"
            f" it through the service's own route (got {service.health.path})"
        )
    if service.strip_path and service.path.rstrip("/") == "":
        yield f"{path}.strip_path: needs a path to strip (got {service.path})"


def _of_tcp(path: str, service: Service) -> Iterable[str]:
    for key in _HTTP_KEYS:
        if key in service.model_fields_set:
            yield (
                f"{path}.{key}: goes with HTTP, and {path}.tcp says that this is none; take one of"
                f" them away (got {_shown(getattr(service, key))})"
            )
    if service.health.path is not None:
        yield (
            f"{path}.health.path: is asked over HTTP, and {path}.tcp says that this is none; give"
            f" health.command, or neither for a TCP connection (got {service.health.path})"
        )


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
    yield from _twice(
        "edge.tls.certificates", [each.fullchain for each in tls.certificates], "fullchain"
    )
    named = domains(stack.services.values())
    if not named:
        yield "edge.tls: no service has hosts that it could be for; leave it out (got a map)"
    from_files = tls.folder is not None or bool(tls.certificates)
    if not from_files and tls.acme is None and not tls.self_signed:
        yield (
            "edge.tls: says nowhere where certificates come from; give folder, certificates or"
            " acme, or self_signed: true (got none of them)"
        )
    if tls.acme is not None and not from_files and not tls.self_signed:
        for domain in named:
            if domain.startswith("*."):
                yield (
                    "edge.tls.acme: cannot prove a wildcard over HTTP; give a certificate for it"
                    f" in edge.tls.certificates, or set edge.tls.self_signed: true (got {domain})"
                )


def _edge(stack: Stack) -> Iterable[str]:
    yield from _tls(stack)
    edge = stack.edge
    binds = {edge.stats.bind, edge.bind}
    if len(binds) == 1 or binds & {"0.0.0.0", "::"}:  # noqa: S104 - looked for
        for key, port in http_ports(edge).items():
            if port == edge.stats.port:
                yield f"edge.stats.port: is {key} too (got {port})"
    if edge.vm is not None:
        yield from _edge_vm(stack, edge.vm)
        if edge.host is not None:
            yield (
                "edge.host: does not go with edge.vm; the edge is either another machine or a VM"
                f" made here (got {edge.host})"
            )
    if edge.host is None:
        return
    if edge.host_key is None:
        yield (
            "edge.host_key: is required with edge.host, so that the first connection is verified"
            f" already; see `ssh-keyscan {edge.host}` (got nothing)"
        )
    for key, port in http_ports(edge).items():
        if port == edge.ssh_port:
            yield f"{key}: is edge.ssh_port too (got {port})"


def _tcp_ports(stack: Stack) -> Iterable[str]:
    edge = stack.edge
    taken = {port: key for key, port in http_ports(edge).items()}
    taken[edge.stats.port] = "edge.stats.port"
    if edge.host is not None:
        taken[edge.ssh_port] = "edge.ssh_port"
    if edge.vm is not None:
        taken[_SSH_PORT] = "edge.vm's SSH port"
    for name, service in stack.services.items():
        if service.tcp is None:
            continue
        path = f"services.{name}.tcp.port"
        owner = taken.setdefault(service.tcp.port, path)
        if owner != path:
            yield f"{path}: is {owner} too (got {service.tcp.port})"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value
    return "a list" if isinstance(value, tuple) else "a map"


def _edge_vm(stack: Stack, vm: EdgeVm) -> Iterable[str]:
    farm, network, path = stack.farm, stack.farm.network, "edge.vm.address"
    address = edge_address(farm, vm)
    if address is None:
        yield f"{path}: is required with a bridge: it has no DHCP of ours (got nothing)"
        return
    if network.bridge is not None:
        yield from _on_bridge(path, address, network)
        for index, other in enumerate(network.addresses):
            if other.ip == address.ip:
                yield f"{path}: is farm.network.addresses.{index} too (got {address})"
    elif address.network != farm.cidr:
        yield f"{path}: is not in farm.network.cidr, {farm.cidr} (got {address})"
    else:
        yield from _a_machines(path, address)
        if address.ip == farm.cidr[1]:
            yield f"{path}: is the hypervisor's own there, as it is the first one (got {address})"
    if vm.mac is not None:
        if int(vm.mac[:2], 16) & 1:
            yield f"edge.vm.mac: is a multicast address (got {vm.mac})"
        for index, mac in enumerate(network.macs):
            if mac == vm.mac:
                yield f"edge.vm.mac: is farm.network.macs.{index} too (got {mac})"
    listening = ipaddress.ip_address(stack.edge.bind)
    if not listening.is_unspecified and listening != address.ip:
        yield (
            f"edge.bind: is no address of {edge_name(farm)}, which has {address.ip}; leave it out"
            f" (got {stack.edge.bind})"
        )
    for key, port in http_ports(stack.edge).items():
        if port == _SSH_PORT:
            yield f"{key}: is the SSH port of {edge_name(farm)} too (got {port})"


def _twice(path: str, values: Sequence[str], key: str = "") -> Iterable[str]:
    for index, value in enumerate(values):
        if value in values[:index]:
            where = f"{path}.{index}.{key}" if key else f"{path}.{index}"
            yield f"{where}: is given twice (got {value})"
