from pathlib import Path

import pytest

from lab.bench.measured_lab import AS_IT_COMES
from lab.stack_copies import StackFileError, counts, hosts, image, keep, kept, set_in_copy
from tests.support.program import PROJECT


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """The lab's stack file, whatever `make scale` made of it."""
    copy = tmp_path / "Pulumi.lab.yaml"
    set_in_copy(PROJECT / copy.name, copy, AS_IT_COMES)
    return copy


def test_counts_are_kept_beside_the_file_which_stays_as_it_is(stack: Path) -> None:
    before, place = stack.read_text(), stack.with_name("scaled.json")
    assert kept(place, stack) == {}
    wanted = counts(stack, vms=3, service="hello", replicas=5)
    assert wanted == {"farm.vms": 3, "services.hello.replicas": 5}
    keep(place, stack, wanted)
    assert kept(place, stack) == wanted
    assert stack.read_text() == before
    copy = stack.with_name("copy.yaml")
    set_in_copy(stack, copy, kept(place, stack))
    assert copy.read_text() == before.replace("vms: 2", "vms: 3").replace("as: 3", "as: 5")


def test_an_edit_of_the_file_counts_more_than_what_was_scaled_before(stack: Path) -> None:
    place = stack.with_name("scaled.json")
    keep(place, stack, counts(stack, vms=3, service="hello", replicas=5))
    stack.write_text(stack.read_text().replace("vms: 2", "vms: 4"))
    assert kept(place, stack) == {"services.hello.replicas": 5}
    stack.write_text("config: {gatehouse:farm: {vms: 4}}")
    assert kept(place, stack) == {}, "nor for what is gone"


def test_a_service_that_is_not_there_is_named_with_those_that_are(stack: Path) -> None:
    with pytest.raises(
        StackFileError, match=r"services\.helo: is not in Pulumi\.lab\.yaml; .*hello"
    ):
        counts(stack, service="helo", replicas=5)


def test_half_a_request_is_refused(stack: Path) -> None:
    with pytest.raises(StackFileError, match="SERVICE and REPLICAS go together"):
        counts(stack, replicas=5)
    with pytest.raises(StackFileError, match="nothing to do"):
        counts(stack)


def test_the_domains_of_a_stack(stack: Path) -> None:
    assert hosts(stack) == ["hello.lab"]


def test_values_are_set_in_a_copy(stack: Path, tmp_path: Path) -> None:
    before = stack.read_text()
    copy = tmp_path / "copy" / "Pulumi.lab.yaml"
    set_in_copy(stack, copy, {"farm.domain_type": "kvm", "edge.nothing.here": 1})
    assert copy.read_text() == before.replace("domain_type: qemu", "domain_type: kvm")
    assert stack.read_text() == before


def test_keys_without_the_prefix_are_gatehouses_too(tmp_path: Path) -> None:
    file, copy = tmp_path / "Pulumi.x.yaml", tmp_path / "copy.yaml"
    file.write_text("config: {farm: {vms: 1, image: /a}, services: {a: {hosts: [a.lab]}}}\n")
    assert (image(file), hosts(file)) == ("/a", ["a.lab"])
    assert counts(file, service="a", replicas=2) == {"services.a.replicas": 2}
    set_in_copy(file, copy, {"farm.vms": 3})
    assert "vms: 3" in copy.read_text()
