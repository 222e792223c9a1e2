"""For any two configs, each loss of data is named, and nothing else."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from components.config.loading import parse
from tests.support.data import placed, problems

_FARMS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["web", "web", "web", "app"]),
        "vms": st.integers(2, 3),
        "image": st.sampled_from(["https://x/12", "https://x/12", "https://x/13"]),
        "memory": st.sampled_from(["256MiB", "256MiB", "256MiB", "512MiB"]),
        "packages": st.sampled_from([[], [], [], ["htop"]]),
    }
)
_VOLUMES = st.lists(
    st.tuples(
        st.sampled_from([("name", "data"), ("name", "logs"), ("host", "/srv/x")]),
        st.sampled_from(["/a", "/b"]),
        st.booleans(),
    ),
    max_size=3,
    unique_by=lambda each: each[1],
)
_SERVICES = st.dictionaries(
    st.sampled_from(["a", "b"]),
    st.tuples(st.integers(1, 3), st.sampled_from([None, [0], [1]]), _VOLUMES),
    min_size=1,
)


def _config(farm: dict[str, Any], services: dict[str, Any]) -> dict[str, Any]:
    raw: dict[str, Any] = {"farm": farm, "services": {}}
    for name, (replicas, only, volumes) in services.items():
        raw["services"][name] = {
            "image": "x:1",
            "port": 80,
            "hosts": [f"{name}.example.org"],
            "replicas": replicas,
            "volumes": [
                {kind: what, "path": path, "shared": True, "expendable": word}
                for (kind, what), path, word in volumes
            ],
        }
        if only is not None:
            vms = [f"{farm['name']}-{number}" for number in only]
            raw["services"][name]["placement"] = {"vms": vms}
    return raw


CONFIGS = st.builds(_config, _FARMS, _SERVICES)


def words(raw: dict[str, Any]) -> dict[tuple[str, str], bool]:
    """Return whether all that says so gives up a volume, by its service and what it is."""
    found: dict[tuple[str, str], bool] = {}
    for name, service in raw["services"].items():
        for each in service["volumes"]:
            key = (name, each.get("name") or each["host"])
            found[key] = found.get(key, True) and each["expendable"]
    return found


def places(raw: dict[str, Any]) -> set[tuple[str, str, str]]:
    stack = parse(raw)
    return {
        (service, vm, what)
        for service, vms in placed(stack).items()
        for vm in vms
        for owner, what in words(raw)
        if owner == service
    }


def expected(before: dict[str, Any], after: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Return the services' volumes on VMs that have to be named, from the two configs alone."""
    first, second = words(before), words(after)
    farms = ("image", "memory", "packages")
    other = any(before["farm"][key] != after["farm"][key] for key in farms)
    found = set()
    for place in places(before):
        service, _, what = place
        gone = place not in places(after)
        now = second.get((service, what))
        last = first[service, what]
        given_up = (last and now in (True, None)) if gone else now
        if (gone or other) and not given_up:
            found.add(place)
    return found


@given(CONFIGS, CONFIGS)
def test_for_any_two_configs_each_loss_is_named_and_nothing_else(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    told = problems(before, after)
    named = {
        place
        for place in places(before)
        for problem in told
        if problem.startswith(f"services.{place[0]}.volumes.")
        and f" {place[2]} on " in problem.split(" (")[0]
        and place[1] in problem.split(" (")[0].replace(",", " ").split()
    }
    assert named == expected(before, after), told
