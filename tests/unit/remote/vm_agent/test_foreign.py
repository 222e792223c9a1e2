"""Containers that Gatehouse did not make, and networks that are not its own."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from remote.labels import owned
from remote.names import OWN_LABEL, SLOT_LABEL, TRAEFIK_LABEL
from remote.vm_agent import docker, traefik_api
from tests.support.virtual import HOST, labels_of, service

APP = labels_of("app", 1, service("app", {"image": "app:1", "hosts": [HOST], "port": 80}))
TRAEFIK = owned({TRAEFIK_LABEL: "8082"})
FLAGS = ["--ping=true", "--providers.docker.network=web-0-network-1234567"]


def told(number: int, labels: dict[str, str], **changes: Any) -> dict[str, Any]:
    """Return Docker's description of a container of its own image."""
    return {
        "Id": str(number) * 64,
        "Name": f"/happy_{number}",
        "Image": f"sha256:{number:064x}",
        "State": {"Running": True, "Paused": False, "StartedAt": "", "Pid": 1},
        "Config": {"Labels": labels},
        "NetworkSettings": {"Networks": {"n": {"IPAddress": f"10.0.0.{number}"}}},
        **changes,
    }


Describe = Callable[..., None]


@pytest.fixture
def describe(monkeypatch: pytest.MonkeyPatch) -> Describe:
    """Return a function that sets the containers, and the labels of each one's image."""
    known: dict[str, Any] = {}

    def ask(path: str, *_: object, **__: object) -> tuple[int, bytes]:
        place = path.partition("?")[0].strip("/").split("/")
        if place == ["containers", "json"]:
            return 200, json.dumps(
                [
                    {"Id": each["Id"], "Created": 0, "Labels": each["Config"]["Labels"]}
                    for key, each in known.items()
                    if key.startswith("/containers/")
                ]
            ).encode()
        return (200, json.dumps(known[path]).encode()) if path in known else (404, b"{}")

    def make(*containers: tuple[dict[str, Any], dict[str, str] | None]) -> None:
        for container, image in containers:
            known[f"/containers/{container['Id']}/json"] = container
            known[f"/images/{container['Image']}/json"] = {"Config": {"Labels": image}}

    monkeypatch.setattr(docker, "ask", ask)
    monkeypatch.setattr(docker, "_IMAGES", {})
    return make


def test_a_container_by_hand_is_no_traefik_whatever_its_image_says(describe: Describe) -> None:
    unlisted = {TRAEFIK_LABEL: "8080"}
    everything = {**TRAEFIK, "more": "x"}
    describe(
        (told(1, TRAEFIK), None),
        (told(2, TRAEFIK), TRAEFIK),
        (told(3, unlisted), unlisted),
        (told(4, everything), everything),
        (told(5, unlisted), {"of": "another"}),
    )
    assert [each.id[0] for each in traefik_api.traefiks()] == ["1", "5"], "5 is an older version's"


def test_a_container_by_hand_is_of_no_service_whatever_its_image_says(describe: Describe) -> None:
    describe((told(1, APP), APP))
    found = docker.find("1" * 64)
    assert found is not None
    assert (found.labels, found.service) == ({}, "")


@pytest.mark.parametrize("image", [APP, {**APP, SLOT_LABEL: "app-web-0-7"}, {OWN_LABEL: "x"}, {}])
def test_a_container_of_a_committed_image_is_gatehouses(
    describe: Describe, image: dict[str, str]
) -> None:
    describe((told(1, APP, Name="/app-web-0-1-0a1b2c3"), image))
    found = docker.find("1" * 64)
    assert found is not None
    assert found.labels == APP


@pytest.mark.parametrize("network", ["aaa", "zzz"])
def test_of_two_networks_the_address_is_in_traefiks(describe: Describe, network: str) -> None:
    own = {"web-0-network-1234567": {"IPAddress": "10.0.0.1"}}
    other = {network: {"IPAddress": "10.99.0.1"}}
    networks = {"Networks": dict(sorted({**own, **other}.items()))}
    describe((told(1, APP, NetworkSettings=networks), {}))
    describe((told(2, TRAEFIK, Config={"Labels": TRAEFIK, "Cmd": FLAGS}), None))
    found = docker.find("1" * 64)
    assert found is not None
    assert found.at == "http://10.0.0.1:80"


def test_without_a_traefik_the_first_address_does(describe: Describe) -> None:
    networks = {"a": {"IPAddress": ""}, "b": {"IPAddress": "10.0.0.2"}, "c": {"IPAddress": "::1"}}
    describe((told(1, APP, NetworkSettings={"Networks": networks}), {}))
    found = docker.find("1" * 64)
    assert found is not None
    assert found.address == "10.0.0.2"
