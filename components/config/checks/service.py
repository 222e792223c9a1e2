"""Checks of one service."""

from collections.abc import Iterable, Sequence, Set

from components.config.checks import folders
from components.config.checks.text import part, shown, twice
from components.config.models.farm import Farm
from components.config.models.http import HEADER_BYTES, Http
from components.config.models.service import Service
from components.config.units import format_size
from components.placement import allowed

_OWN_LABELS = ("traefik.", "gatehouse.")
_HOSTNAME_LIMIT = 63  # of Linux and DNS
_HTTP_KEYS = ("hosts", "path", "strip_path", "http")  # of a service
_STRING_LIMIT = 131_072
"""Bytes of a variable or an argument with its final NUL: Linux's MAX_ARG_STRLEN with pages of
4 KiB. Docker takes longer ones, and then cannot start the container."""


def service(
    name: str, each: Service, farm: Farm, vms: Sequence[str], allowed_folders: Set[str]
) -> Iterable[str]:
    """Yield the contradictions within the service called ``name``.

    Args:
        name: The service's.
        each: The service.
        farm: The farm's config.
        vms: The names of the farm's VMs.
        allowed_folders: The folders of VMs that services may mount.
    """
    path = f"services.{name}"
    yield from _container(path, each)
    yield from _volumes(path, each)
    yield from folders.volumes(path, each, allowed_folders)
    yield from folders.mounts(path, each)
    yield from (_of_http if each.tcp is None else _of_tcp)(path, each)
    yield from _placement(path, name, each, vms)
    yield from _limits(path, each, farm)
    yield from _http(f"{path}.http", each.http)


def _container(path: str, service: Service) -> Iterable[str]:
    for name in service.secret_env:
        if name in service.env:
            yield f"{path}.secret_env.{part(name)}: is in env too; give it once (got {part(name)})"
    for key, variables in (("env", service.env), ("secret_env", service.secret_env)):
        for name, value in variables.items():
            length = len(f"{name}={value}".encode()) + 1
            if length > _STRING_LIMIT:
                yield _too_long(f"{path}.{key}.{part(name)}", length)
    for key, words in (("command", service.command), ("health.command", service.health.command)):
        for index, word in enumerate(words or ()):
            length = len(word.encode()) + 1
            if length > _STRING_LIMIT:
                yield _too_long(f"{path}.{key}.{index}", length)
    for label in service.labels:
        if label.startswith(_OWN_LABELS):
            yield (
                f"{path}.labels.{label}: is Gatehouse's, as are all labels below traefik. and"
                f" gatehouse.; choose another key (got {label})"
            )


def _too_long(path: str, length: int) -> str:
    return (
        f"{path}: is too long for Linux, which takes {_STRING_LIMIT} bytes for a variable or an"
        f" argument; put it into a file in a volume (got {length} bytes)"
    )


def _volumes(path: str, service: Service) -> Iterable[str]:
    yield from twice(f"{path}.volumes", [volume.path for volume in service.volumes], "path")
    for index, volume in enumerate(service.volumes):
        if service.replicas > 1 and not volume.shared:
            yield (
                f"{path}.volumes.{index}: {service.replicas} replicas would write to it; say"
                f" `shared: true` if they may, or `replicas: 1` (got {volume.path})"
            )


def _of_http(path: str, service: Service) -> Iterable[str]:
    if not service.hosts:
        yield (
            f"{path}.hosts: is required for HTTP; give tcp instead for any other protocol"
            " (got nothing)"
        )
    if service.strip_path and service.path.rstrip("/") == "":
        yield f"{path}.strip_path: needs a path to strip (got {service.path})"


def _of_tcp(path: str, service: Service) -> Iterable[str]:
    for key in _HTTP_KEYS:
        if key in service.model_fields_set:
            yield (
                f"{path}.{key}: is for HTTP only and cannot be combined with {path}.tcp; remove one"
                f" of them (got {shown(getattr(service, key))})"
            )
    if service.health.path is not None:
        yield (
            f"{path}.health.path: is for HTTP only and cannot be combined with {path}.tcp; give"
            " health.command, or neither to check that the port takes connections"
            f" (got {service.health.path})"
        )


def _placement(path: str, name: str, service: Service, names: Sequence[str]) -> Iterable[str]:
    wanted, there = service.placement.vms or (), frozenset(names)
    yield from twice(f"{path}.placement.vms", wanted)
    for index, vm in enumerate(wanted):
        if vm not in there:
            yield (
                f"{path}.placement.vms.{index}: is not a VM of this farm, which has"
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
            f"{path}: with the VM's name and a number it makes the host name {longest}, and Linux"
            f" allows {_HOSTNAME_LIMIT} characters; shorten it or farm.name (got {name})"
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
    yield from twice(f"{path}.allow", http.allow)
    seen: set[str] = set()
    for name in http.headers:
        if name.lower() in seen:
            yield (
                f"{path}.headers.{name}: is given twice; upper and lower case are the same in"
                f" headers (got {name})"
            )
        seen.add(name.lower())
    if http.header_bytes > HEADER_BYTES:
        yield (
            f"{path}.headers: have {http.header_bytes} bytes together, and HAProxy's buffer has"
            f" room for {HEADER_BYTES} (got a map)"
        )
