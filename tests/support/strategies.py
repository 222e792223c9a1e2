"""Whole raw stack configs as YAML would give them, about half of them right.

A config starts as one that is accepted nearly always, with values that are odd but allowed: words
that YAML or HAProxy take for something else, text full of quotes. Then a few places of it may be
spoilt: by text inserted into a value, another type, a key that is misspelt, missing or unknown.

Hypothesis draws bytes, and each choice takes the next of them: 20 times as fast as a draw each.
"""

import copy
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Literal, TypeVar, get_args, get_origin

from hypothesis import strategies as st
from pydantic import BaseModel

from components.config.models.http import Http
from tests.support import hostile
from tests.support.hostile import HOST_KEY

T = TypeVar("T")

SECRET = "hunter2"  # noqa: S105
"""A text in every secret, and nowhere else."""

_BYTES = 600  # the largest configs take about as many choices

_SIZES = ("6MiB", "64MiB", "512MiB", "1GiB", "1.5GiB", "2GiB")
_DURATIONS = ("1s", "30s", "90m", "1h30m", "24h", "001s")
_STATUSES = ("401", "403", "408", "413", "429", "502", "503", "504")
_HASHES = (
    f"$6${SECRET}${'./09azAZ' * 10}abcdef",
    f"$6$rounds=1000${SECRET}${'x' * 86}",
    f"$5${SECRET}${'y' * 43}",
)
_URIS = (
    *(
        "qemu+ssh://root@kvm1.example.org/system",
        "qemu+tls://[2001:db8::1]:1/system",
        "qemu://x/system",
    ),
    *("qemu+ssh://192.0.2.80:2222/session?keyfile=/a.b", "qemu+tcp://localhost/system"),
)


class _Choices:
    """Turns bytes into choices; zeroes choose what is first, which is what examples shrink to."""

    def __init__(self, data: bytes, text: str) -> None:
        self._bytes = iter(data)
        self._text = text

    def number(self, below: int) -> int:
        number = next(self._bytes, 0)
        return (number if below <= 256 else number << 8 | next(self._bytes, 0)) % below

    def one(self, options: Sequence[T]) -> T:
        return options[self.number(len(options))]

    def sometimes(self, one_in: int) -> bool:
        return self.number(one_in) == one_in - 1

    def some(self, options: Sequence[T], *, least: int = 0, most: int) -> list[T]:
        count = least + self.number(most - least + 1)
        return list(dict.fromkeys(self.one(options) for _ in range(count)))

    def allowed_text(self) -> str:
        """Return what a label may be: text of one line."""
        return self.one(hostile.PRINTABLE) + self.one(hostile.PRINTABLE)

    def allowed_lines(self) -> str:
        """Return what a value of an environment variable may be."""
        return self.one(hostile.LINES) + self.one(hostile.LINES)

    def any_text(self) -> str:
        if self.sometimes(6):
            return self._text
        return "".join(self.one(hostile.PIECES) for _ in range(1 + self.number(3)))

    def any_value(self) -> Any:
        return self.any_text() if self.number(2) else copy.deepcopy(self.one(hostile.VALUES))


def _with(pick: _Choices, base: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """Add about half of the optional keys; each is given as a function of the choices."""
    return base | {key: make(pick) for key, make in optional.items() if pick.number(2)}


def _of(*options: Any) -> Any:
    return lambda pick: pick.one(options)


def _texts(pick: _Choices) -> list[str]:
    return [pick.allowed_lines() for _ in range(1 + pick.number(3))]


def _secret(pick: _Choices) -> str:
    return SECRET + pick.allowed_text()


def _farm(pick: _Choices) -> dict[str, Any]:
    vms = pick.one((1, 2, 2, 3, 3, 5, 8, 40))
    farm = _with(
        pick,
        {"vms": vms, "image": pick.one(("/images/a.qcow2", "https://example.org/a b?c=d#e"))},
        name=_of(*hostile.NAMES),
        vcpus=_of(1, 2, 255),
        memory=_of("2GiB", "1TiB"),
        disk=_of(*_SIZES),
        domain_type=_of("kvm", "qemu"),
        install_docker=_of(True, False),
        ssh_from=lambda pick: pick.some(hostile.SSH_NETWORKS, most=3),
        packages=lambda pick: pick.some(hostile.PACKAGES, most=3),
        volume_folders=lambda pick: pick.some(hostile.FILE_PATHS, most=2),
        registry_mirror=_of(
            "http://192.0.2.1:5000", "https://m.example", "http://[2001:db8::1]:5/"
        ),
        boot_timeout=_of(*_DURATIONS),
        shutdown_timeout=_of(*_DURATIONS),
        network=lambda pick: _network(pick, vms),
    )
    if "bridge" in farm.get("network", {}) and pick.sometimes(2):
        farm["hypervisors"] = [{"uri": pick.one(_URIS)}]
    return farm


def _network(pick: _Choices, vms: int) -> dict[str, Any]:
    if pick.sometimes(3):
        return {"cidr": pick.one(("10.90.0.0/24", "192.168.0.0/16"))}
    return _with(
        pick,
        {
            "bridge": pick.one(("br0", "null", "0x1", "1e3", "no", "br-a_b.1")),
            "addresses": [f"192.0.2.{10 + index}/24" for index in range(vms)],
            "gateway": "192.0.2.1",
        },
        dns=lambda pick: pick.some(("192.0.2.1", "2001:db8::1", "fe80::1"), most=2),
        macs=lambda _: [f"52:54:00:00:{index:02x}:01" for index in range(vms)],
    )


def _http(pick: _Choices, index: int) -> dict[str, Any]:
    own: dict[str, Any] = {
        "rate_limit": lambda pick: {
            "requests": pick.one((1, 100, 1_000_000)),
            "per": pick.one(_DURATIONS),
        },
        "basic_auth": lambda pick: {
            user: pick.one(_HASHES) for user in pick.some(hostile.USERS, least=1, most=3)
        },
        "allow": lambda pick: pick.some(hostile.NETWORKS, least=1, most=3),
        "error_pages": lambda pick: {
            status: "p" + pick.allowed_text() for status in pick.some(_STATUSES, most=3)
        },
        "timeout": _of(*_DURATIONS),
        "headers": lambda pick: {
            name: pick.one(((pick.allowed_text() + "%")[-200:].strip(), False))
            for name in pick.some(hostile.HEADERS, most=4)
        },
        "protocol": lambda pick: "http" if pick.sometimes(3) else "h2c",
        "max_body": _of(*_SIZES),
        "body_timeout": _of(False, *_DURATIONS),
        "aliases": lambda pick: [
            f"a{number}.alias{index}.example" for number in range(pick.number(3))
        ],
    }
    return _with(pick, {}, **{key: _of(*each) for key, each in _plain(Http).items()} | own)


@cache
def _plain(model: type[BaseModel]) -> dict[str, list[Any]]:
    """Return values for each key of a model, from the model: both of a switch, or its examples."""
    return {
        key: [True, False]
        if field.annotation is bool
        else [*get_args(field.annotation)]
        if get_origin(field.annotation) is Literal
        else [*(field.examples or ())]
        for key, field in model.model_fields.items()
    }


def _service(pick: _Choices, vms: list[str], index: int) -> dict[str, Any]:
    path = pick.one(hostile.PATHS)
    replicas = pick.one((1, 1, 2, 3, 4, 7, 9, 300))
    service = _with(
        pick,
        {
            "image": pick.one(("app:1", "r.example.org:5/a/b_c:X.y-1", "a@sha256:" + "0" * 64)),
            "hosts": [_host(pick, index) for _ in range(1 + pick.number(3))],
            "port": pick.one((80, 1, 8080, 65535)),
            "replicas": replicas,
        },
        path=lambda _: path,
        env=lambda pick: {
            name: pick.allowed_lines() for name in pick.some(hostile.ENV_NAMES, most=3)
        },
        labels=lambda pick: {
            key: pick.allowed_text() for key in pick.some(hostile.LABEL_KEYS, most=3)
        },
        command=_texts,
        cpus=_of(1, 0.5, 0.01),
        pids=_of(1, 200, 1_000_000),
        capabilities=lambda pick: pick.some(hostile.CAPABILITIES, most=3),
        memory=_of(*_SIZES),
        storage=_of(*_SIZES),
        user=_of("0", "www-data", "1000:1000", "_x:no"),
        read_only=_of(True, False),
        restart=_of("no", "on-failure", "unless-stopped", "always"),
        stop_grace=_of(*_DURATIONS),
    )
    if pick.sometimes(2):
        service["health"] = _with(
            pick,
            {},
            path=_of(*hostile.PATHS),
            command=_texts,
            interval=_of(*_DURATIONS),
            timeout=_of(*_DURATIONS),
            retries=_of(1, 100),
            start_period=_of(*_DURATIONS),
            image_check=_of(True, False),
        )
    if service.get("path", "/") != "/":
        service["strip_path"] = pick.one((False, True))
    if pick.sometimes(4):
        for key in ("hosts", "path", "strip_path"):
            service.pop(key, None)
        service.get("health", {}).pop("path", None)
        # Mostly a port of its own, as with domains.
        port = pick.one((22, 5432, 65535)) if pick.sometimes(12) else 10_000 + 9 * index
        service["tcp"] = _with(
            pick,
            {"port": port},
            proxy_protocol=_of(True, False),
            idle_timeout=_of(*_DURATIONS),
        )
    if pick.sometimes(3):
        some = pick.some(vms, least=1, most=3)
        service["placement"] = {"vms": some, "max_per_vm": -(-replicas // len(some))}
    if pick.sometimes(4):
        volume = _with(
            pick, {"path": pick.one(hostile.FILE_PATHS), "shared": True}, read_only=_of(True)
        )
        kind, options = pick.one((("name", hostile.NAMES), ("host", hostile.VOLUME_HOSTS)))
        service["volumes"] = [{**volume, kind: pick.one(options)}]
    if "tcp" not in service and pick.sometimes(2):
        service["http"] = _http(pick, index)
        if all(host.startswith("*.") for host in service["hosts"]):
            service["http"].pop("aliases", None)
    if pick.sometimes(3):
        service["secret_env"] = {
            "TOKEN": _secret(pick) + pick.one(("", "\n", "\r\n\tb")),
            f"S{index}.b": SECRET,
        }
    return service


def _host(pick: _Choices, index: int) -> str:
    domain = ".".join(pick.one(hostile.LABELS) for _ in range(1 + pick.number(3)))
    # Mostly a domain of its own, so that most configs have no two services that claim the same.
    own = domain if pick.sometimes(12) else f"{pick.number(250)}.s{index}.{domain}"
    return pick.one(("", "", "*.")) + own


def _edge(pick: _Choices, farm: dict[str, Any]) -> dict[str, Any]:
    edge = _with(
        pick,
        {},
        bind=_of("0.0.0.0", "127.0.0.1", "::", "::1", "2001:db8::1"),  # noqa: S104
        port=_of(80, 1, 8080, 65535),
        folder=_of(*hostile.FILE_PATHS),
        user=_of(*hostile.NAMES),
        source=_of("192.0.2.80", "10.0.0.1"),
        stats=lambda pick: _with(
            pick, {}, bind=_of("127.0.0.1", "::1", "192.0.2.80"), port=_of(8404, 1, 65535)
        ),
        ready_timeout=_of(*_DURATIONS),
        hard_stop_after=_of(*_DURATIONS),
        tls=_tls,
    )
    if pick.sometimes(3):
        edge["host"] = pick.one(("edge.example.org", "192.0.2.80", "2001:db8::80"))
        edge["host_key"] = HOST_KEY
    elif pick.sometimes(3):
        edge["vm"] = _edge_vm(pick, farm.get("network", {}))
        edge["bind"] = pick.one(("0.0.0.0", "::"))  # noqa: S104
    return edge


def _tls(pick: _Choices) -> dict[str, Any]:
    return _with(
        pick,
        {"port": pick.one((443, 8443, 2)), "self_signed": not pick.sometimes(6)},
        folder=_of(*hostile.FILE_PATHS),
        certificates=lambda pick: [
            {"fullchain": f"{path}/{index}", "privkey": path}
            for index, path in enumerate(pick.some(hostile.FILE_PATHS, most=2))
        ],
        hsts=_of(*_DURATIONS, False),
        acme=lambda pick: _with(
            pick,
            {"email": pick.one(("a@b", "A.b+c@xn--d.example"))},
            directory=_of("https://acme.example", "https://[2001:db8::1]:5/a/b~c_d.e/"),
            ca=_of(*hostile.FILE_PATHS),
        ),
    )


def _edge_vm(pick: _Choices, network: dict[str, Any]) -> Any:
    if "bridge" not in network and pick.number(2):
        return pick.one((True, False))
    vm = _with(
        pick,
        {},
        vcpus=_of(1, 255),
        memory=_of("2GiB", "1TiB"),
        disk=_of(*_SIZES),
        mac=_of("52:54:00:00:ff:01", "aa:bb:cc:dd:ee:ff"),
    )
    if "bridge" in network:
        vm["address"] = "192.0.2.250/24"
    elif "cidr" in network:
        prefix = network["cidr"].rpartition("/")[2]
        vm["address"] = network["cidr"].replace(f"0.0/{prefix}", f"0.77/{prefix}")
    return vm


def _stack(pick: _Choices) -> dict[str, Any]:
    farm = _farm(pick)
    vms = [f"{farm.get('name', 'web')}-{index}" for index in range(farm["vms"])]
    names = pick.some(hostile.NAMES, least=1, most=4)
    registries = ("ghcr.io", "r.example.org:5000", "1e3", "username", "docker.io")
    return _with(
        pick,
        {
            "farm": farm,
            "services": {name: _service(pick, vms, index) for index, name in enumerate(names)},
        },
        edge=lambda pick: _edge(pick, farm),
        registries=lambda pick: {
            address: {"username": pick.allowed_text(), "password": _secret(pick)}
            for address in pick.some(registries, most=2)
        },
    )


def _spoil(pick: _Choices, stack: dict[str, Any]) -> None:
    places = list(_places(stack))
    if not places:
        return
    parent, key = pick.one(places)
    value = parent[key]
    match pick.number(8):
        case 0 | 1 | 2 if isinstance(value, str):
            at = pick.one((len(value), 0, len(value) // 2))
            parent[key] = value[:at] + pick.any_text() + value[at:]
        case 3 if isinstance(parent, dict):
            parent[pick.one(hostile.MISSPELT).format(key)] = parent.pop(key)
        case 4 if isinstance(parent, dict):
            del parent[key]
        case 5 if isinstance(parent, dict):
            parent[pick.one(hostile.KEYS) if pick.number(2) else pick.any_text()] = pick.any_value()
        case 6:
            parent[key] = pick.one(([value], {key: value}, _leaf(value)))
        case 7 if isinstance(parent, list):
            parent.append(copy.deepcopy(value))
        case _:
            parent[key] = pick.any_value()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each place of a config: the map or list that has it, and its key there."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in items:
        yield value, key
        if isinstance(each, dict | list):
            yield from _places(each)


def _leaf(value: Any) -> Any:
    while isinstance(value, dict | list) and value:
        value = next(iter(value.values() if isinstance(value, dict) else value))
    return value


def _spoilt(pick: _Choices) -> dict[str, Any]:
    times = pick.one((0, 0, 0, 1, 1, 2, 6))
    stack = _stack(pick)
    for _ in range(times):
        _spoil(pick, stack)
    return stack


_choices = st.builds(_Choices, st.binary(min_size=_BYTES, max_size=_BYTES), st.text(max_size=30))
right_stacks = _choices.map(_stack)
"""Configs that are nearly always valid; by chance, two services may claim one domain."""
stacks = _choices.map(_spoilt)
"""Configs of which about half are valid, and the others wrong in one or several places."""
