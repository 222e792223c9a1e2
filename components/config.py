"""The stack config: the only reader of ``pulumi.Config``, from YAML to frozen models.

Everything is validated here, before the first resource is registered, and all errors are told at
once, each as ``path.of.the.key: what is wrong (got what)``. What needs a running hypervisor or an
edge to be known is deliberately not checked here.
"""

import difflib
import ipaddress
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

import pulumi
import yaml
from pulumi.runtime.config import CONFIG, get_config_env
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from components.units import format_size, parse_duration, parse_size

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,28}[a-z0-9])?")
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._/:-]*(@sha256:[0-9a-f]{64})?")
_PATH = re.compile(r"/[A-Za-z0-9._~/-]*")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_HOST_KEY = re.compile(r"(ssh-ed25519|ecdsa-sha2-nistp256|ssh-rsa) [A-Za-z0-9+/]+=*")
_FOLDER = re.compile(r"(/[A-Za-z0-9._-]+)+")


class ConfigError(pulumi.RunError):
    """The config is wrong; ``problems`` holds one ``path: what (got what)`` each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(f"the stack config is wrong, nothing was changed:\n{lines}")


def _matching(pattern: re.Pattern[str], meaning: str) -> AfterValidator:
    def check(text: str) -> str:
        if pattern.fullmatch(text) is None:
            raise ValueError(f"must be {meaning}")
        return text

    return AfterValidator(check)


def _parsed(parse: Callable[[Any], object]) -> BeforeValidator:
    """Parse text, and leave a default that is parsed already as it is."""
    return BeforeValidator(lambda value: parse(value) if isinstance(value, str) else value)


def _list_to_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _network(text: object) -> ipaddress.IPv4Network:
    try:
        network = ipaddress.IPv4Network(str(text))
    except ValueError:
        raise ValueError("must be an IPv4 network such as 10.90.0.0/24") from None
    if network.prefixlen > 29:
        raise ValueError("must have room for VMs: a prefix of /29 or shorter")
    return network


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("must be an IP address") from None


def _http_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
        raise ValueError("must be a URL such as http://192.0.2.1:5000")
    return text


def _sized(text: object) -> int:
    return parse_size(text)


def _lasting(text: object) -> int:
    return parse_duration(text)


Name = Annotated[
    str, _matching(_NAME, "lower-case letters, digits and hyphens, at most 30, a letter first")
]
Domain = Annotated[str, _matching(_DOMAIN, "a domain such as www.example.org, in lower case")]
ImageName = Annotated[
    str, _matching(_IMAGE, "an image name such as matomo:5-apache or name@sha256:<64 hex digits>")
]
UrlPath = Annotated[
    str, _matching(_PATH, "a path: a slash, then letters, digits and any of . _ ~ / -")
]
HostKey = Annotated[
    str, _matching(_HOST_KEY, "a public host key such as `ssh-ed25519 AAAA…`, without a comment")
]
Size = Annotated[int, BeforeValidator(_sized)]
Duration = Annotated[int, BeforeValidator(_lasting)]
Port = Annotated[int, Field(ge=1, le=65535)]


class Model(BaseModel):
    """What all models share: frozen, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=False)


class Network(Model):
    """The VMs' own NAT network on the hypervisor."""

    cidr: Annotated[ipaddress.IPv4Network, BeforeValidator(_network)] = ipaddress.IPv4Network(
        "10.90.0.0/24"
    )


class Farm(Model):
    """The VMs: ``vms`` identical ones, called ``<name>-0``, ``<name>-1`` and so on."""

    vms: Annotated[int, Field(ge=1)]
    image: str
    name: Name = "web"
    vcpus: Annotated[int, Field(ge=1, le=256)] = 2
    memory: Size = parse_size("2GiB")
    disk: Size = parse_size("20GiB")
    hypervisor: str = "qemu:///system"
    domain_type: Literal["kvm", "qemu"] = "kvm"
    network: Network = Network()
    pool: Annotated[str, _matching(_FOLDER, "an absolute path without spaces")] = (
        "/var/lib/libvirt/gatehouse"
    )
    packages: Annotated[
        tuple[Annotated[str, _matching(_PACKAGE, "the name of a Debian package")], ...],
        BeforeValidator(_list_to_tuple),
    ] = ("apparmor", "docker.io")
    registry_mirror: Annotated[str, AfterValidator(_http_url)] | None = None
    boot_timeout: Duration = parse_duration("10m")
    shutdown_timeout: Duration = parse_duration("1m")


class Health(Model):
    """What a healthy container answers with a status from 200 to 399, seen from both tiers."""

    path: UrlPath
    interval: Duration = parse_duration("10s")
    timeout: Duration = parse_duration("5s")


class Service(Model):
    """One image, run ``replicas`` times in total and published under ``hosts`` and ``path``."""

    image: ImageName
    hosts: Annotated[tuple[Domain, ...], Field(min_length=1), BeforeValidator(_list_to_tuple)]
    port: Port
    path: UrlPath = "/"
    replicas: Annotated[int, Field(ge=1)] = 1
    health: Health | None = None
    command: Annotated[tuple[str, ...], BeforeValidator(_list_to_tuple)] | None = None
    env: dict[
        Annotated[str, _matching(_ENV_NAME, "a name of letters, digits and underscores")], str
    ] = Field(default_factory=dict)

    @property
    def check(self) -> Health:
        """The health check, by default a ``GET`` of the service's own path."""
        return self.health or Health(path=self.path)

    def url(self, port: int) -> str:
        """Return where clients find the service, with the edge listening on ``port``."""
        suffix = "" if port == 80 else f":{port}"
        return f"http://{self.hosts[0]}{suffix}{self.path}"


class Edge(Model):
    """The load balancer in front: on this machine, or on ``host`` over SSH."""

    bind: Annotated[str, AfterValidator(_address)] = "0.0.0.0"  # noqa: S104 - an edge is there to be reached
    port: Port = 80
    folder: Annotated[str, _matching(_FOLDER, "an absolute path without spaces")] = (
        "/var/lib/gatehouse"
    )
    host: Annotated[str, AfterValidator(_address)] | Domain | None = None
    user: Name = "root"
    ssh_port: Port = 22
    host_key: HostKey | None = None
    ready_timeout: Duration = parse_duration("2m")


class Stack(Model):
    """A whole stack config."""

    farm: Farm
    services: Annotated[dict[Name, Service], Field(min_length=1)]
    edge: Edge = Edge()


def load() -> Stack:
    """Read and validate the stack config of the running program.

    Raises:
        ConfigError: Something in it is wrong; every problem found is in the message.
    """
    config = pulumi.Config()
    given = {**get_config_env(), **CONFIG.get()}  # the SDK's Config can only look up known keys
    prefix = f"{config.name}:"
    keys = [key.removeprefix(prefix) for key in given if key.startswith(prefix)]
    stack = parse({key: _value(config, key) for key in keys})
    problems = [*machine_problems(stack)]
    if problems:
        raise ConfigError(problems)
    return stack


def _value(config: pulumi.Config, key: str) -> object:
    try:
        return config.get_object(key)
    except pulumi.ConfigTypeError:  # plain text where a map of keys belongs
        return config.get(key)


def parse(raw: Mapping[str, Any]) -> Stack:
    """Turn the ``gatehouse:`` keys of a stack config into models.

    Raises:
        ConfigError: Something in it is wrong; every problem found is in the message.
    """
    try:
        stack = Stack.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(_explain(item) for item in error.errors()) from None
    problems = [*_conflicts(stack)]
    if problems:
        raise ConfigError(problems)
    return stack


def _conflicts(stack: Stack) -> Iterable[str]:
    claimed: dict[tuple[str, str], str] = {}
    for name, service in stack.services.items():
        for index, host in enumerate(service.hosts):
            owner = claimed.setdefault((host, service.path), name)
            path = f"services.{name}.hosts.{index}"
            if owner == name and service.hosts.index(host) != index:
                yield f"{path}: is given twice (got {host})"
            elif owner != name:
                yield (
                    f"{path}: is claimed by services.{owner} with the same path {service.path}"
                    f" (got {host})"
                )
    if stack.edge.host is not None and stack.edge.host_key is None:
        yield (
            "edge.host_key: is required with edge.host, so that the first connection is verified"
            f" already; see `ssh-keyscan {stack.edge.host}` (got nothing)"
        )
    usable = stack.farm.network.cidr.num_addresses - 3
    if stack.farm.vms > usable:
        yield (
            f"farm.vms: must be at most {usable}, the addresses that"
            f" farm.network.cidr {stack.farm.network.cidr} has for VMs (got {stack.farm.vms})"
        )


def machine_problems(stack: Stack) -> Iterable[str]:
    """Yield what this machine can tell to be impossible, where it is the hypervisor itself."""
    farm = stack.farm
    if urlsplit(farm.hypervisor).netloc:
        return
    if "://" not in farm.image and not os.access(farm.image, os.R_OK):
        state = "cannot be read" if Path(farm.image).exists() else "does not exist"
        yield f"farm.image: {state}; give a readable qcow2 file or a URL (got {farm.image})"
    installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if farm.vms * farm.memory > installed:
        yield (
            f"farm.memory: {farm.vms} VMs of {format_size(farm.memory)} do not fit the"
            f" hypervisor's {installed / 2**30:.1f}GiB; lower farm.memory or farm.vms"
            f" (got {format_size(farm.memory)})"
        )


_MESSAGES: Mapping[str, str] = {
    "missing": "is required",
    "int_type": "must be a whole number",
    "string_type": "must be text; put it in quotes",
    "bool_type": "must be true or false",
    "dict_type": "must be a map of keys",
    "model_type": "must be a map of keys",
    "model_attributes_type": "must be a map of keys",
    "tuple_type": "must be a list",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must have at least {min_length} entry",
    "literal_error": "must be {expected}",
    "value_error": "{error}",
}


def _explain(item: Any) -> str:
    location = [part for part in item["loc"] if part != "[key]"]
    path = ".".join(str(part) for part in location)
    if item["type"] == "extra_forbidden":
        return f"{path}: {_unknown_key(location)} (got {_shown(item['input'])})"
    template = _MESSAGES.get(item["type"])
    message = template.format(**item.get("ctx", {})) if template else item["msg"]
    got = "nothing" if item["type"] == "missing" else _shown(item["input"])
    return f"{path}: {message} (got {got})"


def _unknown_key(location: list[Any]) -> str:
    known = _keys_at(location[:-1])
    near = difflib.get_close_matches(str(location[-1]), known, n=1)
    if near:
        return f"unknown key; did you mean {near[0]}?"
    return f"unknown key; known here are {', '.join(known)}"


def _keys_at(location: list[Any]) -> list[str]:
    model: type[BaseModel] = Stack
    for part in location:
        field = model.model_fields.get(str(part))
        if field is not None:  # else a name that the operator chose, such as a service's
            model = _model_in(field.annotation) or model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(argument) for argument in get_args(annotation))
    return next((model for model in found if model is not None), None)


def _shown(value: object) -> str:
    reads_as_text = isinstance(value, str) and isinstance(yaml.safe_load(f"- {value}")[0], str)
    text = str(value) if reads_as_text else json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."
