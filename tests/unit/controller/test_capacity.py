import dataclasses
import json

import pytest

from controller.capacity import HypervisorMemory, Wanted, hypervisor_from, shortage

GIB = 2**30


def wanted(vms: int, generation: str = "a") -> Wanted:
    return Wanted(generation=generation, vms=vms, memory=2 * GIB)


def promised(gib: int) -> HypervisorMemory:
    return HypervisorMemory(memory=8 * GIB, promised=gib * GIB)


@pytest.mark.parametrize(
    ("now", "before", "taken", "fits"),
    [
        (wanted(4), None, 0, True),
        (wanted(4), None, 1, False),
        (wanted(3), wanted(2), 6, True),
        (wanted(4), wanted(2), 6, False),
        (wanted(1), wanted(3), 8, True),
        (wanted(1, "b"), wanted(1), 2, True),
        (wanted(2, "b"), wanted(2), 4, True),
        (wanted(2, "b"), wanted(2), 5, False),
    ],
)
def test_new_vms_have_to_fit_beside_what_runs(
    now: Wanted, before: Wanted | None, taken: int, fits: bool
) -> None:
    assert (shortage(now, before, promised(taken)) is None) == fits


@pytest.mark.parametrize(
    ("now", "before", "new"),
    [
        ((3, "b", 2), (3, "a", 0), 1),
        ((3, "b", 2), (3, "b", 2), 0),
        ((4, "b", 2), (3, "b", 2), 1),
        ((3, "b", 0), (3, "b", 2), 2),
        ((2, "b", 2), (3, "a", 0), 0),
    ],
)
def test_vms_that_stay_take_no_room_until_they_are_replaced(
    now: tuple[int, str, int], before: tuple[int, str, int], new: int
) -> None:
    one, other = (
        dataclasses.replace(wanted(vms, generation), staying=staying)
        for vms, generation, staying in (now, before)
    )
    assert one.new_vms(other) == new


@pytest.mark.parametrize(
    ("edge", "before", "taken", "fits"),
    [(1, 0, 7, True), (2, 0, 7, False), (2, 2, 8, True), (3, 2, 7, True), (4, 2, 7, False)],
)
def test_the_edges_vm_has_to_fit_too(edge: int, before: int, taken: int, fits: bool) -> None:
    now, then = (dataclasses.replace(wanted(2), edge=memory * GIB) for memory in (edge, before))
    why = shortage(now, then, promised(taken))
    assert (why is None) == fits, "an old one of it goes before the new one is made"
    if why is not None:
        assert why.startswith(f"edge.vm.memory: {edge - before}GiB more for the edge's VM do not")
    assert "2 new VMs of 2GiB and 2GiB more for the edge's VM do not fit" in str(
        shortage(dataclasses.replace(now, generation="b", edge=2 * GIB), wanted(2), promised(8))
    )


def test_what_a_state_from_before_edges_were_vms_says() -> None:
    assert Wanted(**json.loads('{"generation": "a", "vms": 2, "memory": 2147483648}')) == wanted(2)


def test_the_message_says_what_to_do() -> None:
    assert shortage(wanted(2, "b"), wanted(2), promised(5)) == (
        "farm.memory: 2 new VMs of 2GiB do not fit beside the ones that serve until then: of the"
        " hypervisor's 8.0GiB, running domains may take 5.0GiB. Nothing was changed. Lower"
        " farm.memory or farm.vms, stop other domains, or, if an outage is acceptable, shut this"
        " farm's VMs down with virsh and run this again (got 2GiB)"
    )


def test_what_virsh_tells() -> None:
    nodeinfo = "CPU model:           x86_64\nMemory size:         8388608 KiB\n"
    domstats = (
        "Domain: 'web-0'\n  balloon.current=1048576\n  balloon.maximum=1048576\n\n"
        "Domain: 'web-1'\n  balloon.current=524288\n  balloon.maximum=2097152\n"
    )
    assert hypervisor_from(nodeinfo, domstats) == HypervisorMemory(memory=8 * GIB, promised=3 * GIB)
    with pytest.raises(ValueError, match="shows no memory size"):
        hypervisor_from("", "")
