import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.placement import slots, spread, vm_names

replicas = st.integers(min_value=1, max_value=60)
vms = st.integers(min_value=1, max_value=20)


def containers(count: int, machines: int) -> set[str]:
    return {slot.name for slot in slots("app", spread(count, vm_names("web", machines)))}


@given(replicas, vms)
def test_every_replica_is_placed_and_evenly(count: int, machines: int) -> None:
    counts = spread(count, vm_names("web", machines))
    assert sum(counts.values()) == count
    per_vm = [counts.get(name, 0) for name in vm_names("web", machines)]
    assert max(per_vm) - min(per_vm) <= 1
    assert per_vm == sorted(per_vm, reverse=True), "the first VMs run one more"


@given(replicas, vms)
def test_one_replica_more_is_one_container_more(count: int, machines: int) -> None:
    before, after = containers(count, machines), containers(count + 1, machines)
    assert before < after
    assert len(after - before) == 1


@given(replicas, vms)
def test_one_vm_more_moves_only_what_the_new_vm_runs(count: int, machines: int) -> None:
    before, after = containers(count, machines), containers(count, machines + 1)
    share = spread(count, vm_names("web", machines + 1)).get(f"web-{machines}", 0)
    assert len(after - before) == len(before - after) == share
    assert all(f"-web-{machines}-" in name for name in after - before)


def test_no_vm_no_placement() -> None:
    with pytest.raises(ValueError, match="3 replicas cannot be placed on 0 VMs"):
        spread(3, ())
