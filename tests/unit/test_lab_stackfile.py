from pathlib import Path

import pytest

from lab.bench.site import AS_IT_COMES
from lab.stackfile import StackFileError, hosts, scale, set_in_copy
from tests.unit.program import PROJECT


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """The lab's stack file, whatever `make scale` made of it."""
    copy = tmp_path / "Pulumi.lab.yaml"
    set_in_copy(PROJECT / copy.name, copy, AS_IT_COMES)
    return copy


def test_scaling_changes_two_numbers_and_nothing_else(stack: Path) -> None:
    before = stack.read_text()
    assert scale(stack, vms=3, service="hello", replicas=5) == [
        "farm.vms: 2 -> 3",
        "services.hello.replicas: 3 -> 5",
    ]
    expected = before.replace("vms: 2", "vms: 3").replace("replicas: 3", "replicas: 5")
    assert stack.read_text() == expected


def test_a_service_that_is_not_there_is_named_with_those_that_are(stack: Path) -> None:
    before = stack.read_text()
    with pytest.raises(
        StackFileError, match=r"services\.helo: is not in Pulumi\.lab\.yaml; .*hello"
    ):
        scale(stack, service="helo", replicas=5)
    assert stack.read_text() == before


def test_half_a_request_is_refused(stack: Path) -> None:
    with pytest.raises(StackFileError, match="SERVICE and REPLICAS go together"):
        scale(stack, replicas=5)
    with pytest.raises(StackFileError, match="nothing to do"):
        scale(stack)


def test_the_domains_of_a_stack(stack: Path) -> None:
    assert hosts(stack) == ["hello.lab"]


def test_values_are_set_in_a_copy(stack: Path, tmp_path: Path) -> None:
    before = stack.read_text()
    copy = tmp_path / "copy" / "Pulumi.lab.yaml"
    set_in_copy(stack, copy, {"farm.domain_type": "kvm", "edge.nothing.here": 1})
    assert copy.read_text() == before.replace("domain_type: qemu", "domain_type: kvm")
    assert stack.read_text() == before
