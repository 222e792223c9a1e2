"""Scaling by one moves as few containers as any even placement could: compared with all of them."""

from collections.abc import Iterator, Sequence
from itertools import combinations

import pytest

from components.config.loading import ConfigError, parse
from components.placement import allowed, slots, spread, vm_names

VMS = 7
REPLICAS = 15
SUBSETS: list[Sequence[str] | None] = [
    None,
    *(subset for size in (1, 2, 3, 4) for subset in combinations(vm_names("web", VMS), size)),
]


def placed(replicas: int, vms: int, wanted: Sequence[str] | None) -> dict[str, int]:
    return spread(replicas, allowed(wanted, vm_names("web", vms)))


def containers(counts: dict[str, int]) -> set[str]:
    return {slot.name for slot in slots("app", counts)}


def even_placements(replicas: int, vms: Sequence[str]) -> Iterator[dict[str, int]]:
    """Yield every placement whose numbers per VM differ by at most one."""
    share, rest = divmod(replicas, len(vms))
    for more in combinations(vms, rest):
        yield {vm: share + (vm in more) for vm in vms}


def moves(before: set[str], after: set[str]) -> tuple[int, int]:
    """Return how many containers are created and how many are removed."""
    return len(after - before), len(before - after)


@pytest.mark.parametrize("vms", range(1, VMS + 1))
def test_scaling_by_one_moves_the_fewest_containers_possible(vms: int) -> None:
    compared = 0
    for wanted in SUBSETS:
        for replicas in range(1, REPLICAS + 1):
            if not allowed(wanted, vm_names("web", vms)):
                continue
            before = containers(placed(replicas, vms, wanted))
            for to_replicas, to_vms in (
                (replicas + 1, vms),
                (replicas - 1, vms),
                (replicas, vms + 1),
                (replicas, vms - 1),
            ):
                usable = allowed(wanted, vm_names("web", to_vms))
                if not usable or to_replicas == 0:
                    continue
                after = containers(placed(to_replicas, to_vms, wanted))
                fewest = min(
                    moves(before, containers(even)) for even in even_placements(to_replicas, usable)
                )
                assert moves(before, after) == fewest, (wanted, replicas, vms, to_replicas, to_vms)
                compared += 1
    assert compared > 50


@pytest.mark.parametrize("vms", [1, 2, 3, 5])
@pytest.mark.parametrize("most", [1, 2, 3])
@pytest.mark.parametrize("wanted", [None, ["web-0"], ["web-1", "web-4"], ["web-2", "web-0"]])
def test_limits_are_kept_or_the_config_is_refused(
    vms: int, most: int, wanted: list[str] | None
) -> None:
    names = vm_names("web", vms)
    for replicas in range(1, 20):
        placement = {"max_per_vm": most} | ({"vms": wanted} if wanted else {})
        app = {"image": "a", "hosts": ["a.example"], "port": 80, "replicas": replicas}
        raw = {
            "farm": {"vms": vms, "image": "x"},
            "services": {"app": {**app, "placement": placement}},
        }
        usable = allowed(wanted, names)
        fits = replicas <= most * len(usable) and set(wanted or ()) <= set(names)
        try:
            service = parse(raw).services["app"]
        except ConfigError as error:
            assert not fits
            paths = {problem.partition(":")[0] for problem in error.problems}
            assert paths <= {
                "services.app.replicas",
                "services.app.placement.vms.0",
                "services.app.placement.vms.1",
            }
            continue
        assert fits
        counts = spread(service.replicas, allowed(service.placement.vms, names))
        assert sum(counts.values()) == replicas
        assert set(counts) <= set(wanted or names)
        assert max(counts.values()) <= most
        each = [counts.get(vm, 0) for vm in usable]
        assert max(each) - min(each) <= 1
