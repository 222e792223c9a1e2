"""Names that are put together of several names are nobody else's."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.config.checks.names import made
from components.config.loading import parse
from components.placement import vm_names
from tests.support import program
from tests.support.configs import problems


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def config(services: dict[str, list[str]], farm: str = "web", vms: int = 2) -> dict[str, Any]:
    """Return a config of services with volumes of some names, one container on each VM."""
    return program.config(
        farm__name=farm,
        farm__vms=vms,
        services={
            service: {
                "image": "x:1",
                "port": 80,
                "hosts": [f"{service}.example.org"],
                "replicas": vms,
                "volumes": [
                    {"name": name, "path": f"/{index}", "shared": True}
                    for index, name in enumerate(volumes)
                ],
            }
            for service, volumes in services.items()
        },
    )


def test_a_service_and_a_volume_that_make_one_name_are_refused() -> None:
    found = "with the VM's name it makes the volume name a-web-0-web-0-y, as"
    (problem,) = problems(config({"a": ["x", "web-0-y"], "a-web-0": ["y"]}, vms=1))
    assert problem == (
        f"services.a-web-0.volumes.0.name: {found} services.a.volumes.1.name does; rename one of"
        " them (got y)"
    )
    assert problems(config({"a": ["web-0-y"], "a-web-0": ["z"]})) == ()
    assert problems(config({"a": ["y", "y"]})) == (), "one volume, mounted twice"


_FARMS = ("web", "a", "farm", "edge", "a-web-0", "web-0-web")
_SERVICES = ("a", "a-web-0", "a-web-0-web-0", "web", "web-0", "web-0-host", "edge", "farm", "a-a")
_VOLUMES = ("y", "web-0-y", "web-0-web-0-y", "a-0-y", "web-1-web-0-y", "image", "host", "network")


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(
        st.sampled_from(_SERVICES),
        st.lists(st.sampled_from(_VOLUMES), max_size=3),
        min_size=2,
        max_size=4,
    ),
    st.sampled_from(_FARMS),
    st.booleans(),
)
def test_no_two_resources_of_a_type_have_one_name(
    services: dict[str, list[str]], farm: str, edge: bool
) -> None:
    raw = config(services, farm)
    if edge:
        raw["edge"] = {"vm": True}
    if problems(raw):
        return
    registered = program.run(raw).registered
    assert [each for each, count in Counter(registered).items() if count > 1] == []
    stack = parse(raw)
    known = {
        (kind, name) for kind, name, *_ in made(stack.services, vm_names(farm, stack.farm.vms))
    }
    volumes = {name for kind, name in registered if kind == "docker:index/volume:Volume"}
    assert volumes == {name for kind, name in known if kind == "volume"}
    slots = {f"{name}-0" for kind, name in known if kind == "container"}
    assert slots <= {name for kind, name in registered if kind.endswith(":Container")}


@given(
    st.dictionaries(
        st.sampled_from(_SERVICES), st.lists(st.sampled_from(_VOLUMES), max_size=3), min_size=2
    ),
    st.sampled_from(_FARMS),
)
def test_each_name_that_two_make_is_told_and_no_other(
    services: dict[str, list[str]], farm: str
) -> None:
    names = [
        f"{service}-{vm}-{volume}"
        for service, volumes in services.items()
        for vm in vm_names(farm, 2)
        for volume in set(volumes)
    ]
    twice = {name for name, count in Counter(names).items() if count > 1}
    found = problems(config(services, farm))
    assert {each.partition("volume name ")[2].partition(",")[0] for each in found} == twice
