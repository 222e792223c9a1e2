"""What a recovery asks libvirt, Docker and the processes, and what it makes of the answers."""

import signal
import subprocess
import time
from pathlib import Path

import pytest

from recovery import notes, processes
from recovery.things import RemoveError, Unreachable, thing
from tests.support.recovery import CONTAINER, DOCKER, DOMAIN, LIBVIRT, VOLUME, Stack, creating
from tests.unit.lab.test_providers import ended


def test_ssh_is_given_the_providers_options(stack: Stack) -> None:
    found = thing(CONTAINER["resource"]["type"], {"name": "a b"}, DOCKER["inputs"])
    assert found is not None
    assert found.command[:5] == ("ssh", "-F", "none", "-i", "the key")
    assert found.command[-5:] == ("gatehouse", "-p", "22", "--", "10.90.0.7")
    (stack.folder / "there").touch()
    assert found.exists()
    assert stack.calls == ["ssh docker container inspect 'a b'"]


@pytest.mark.parametrize(
    "said",
    [
        "bash: line 1: docker: command not found",
        "Warning: Identity file k not accessible: No such file or directory.\nPermission denied",
        "Cannot connect to the Docker daemon",
    ],
)
def test_no_answer_is_not_taken_for_a_no(stack: Stack, said: str) -> None:
    (stack.folder / "bin" / "ssh").write_text(f"#!/bin/sh\necho '{said}' >&2; exit 1\n")
    found = thing(CONTAINER["resource"]["type"], {"name": "a"}, DOCKER["inputs"])
    assert found is not None
    with pytest.raises(Unreachable):
        found.exists()


@pytest.mark.parametrize(
    "said",
    [
        "Error: No such container: a",
        "Error response from daemon: get a: no such volume",
        "Error response from daemon: network a not found",
    ],
)
def test_a_no_is_taken_for_one(stack: Stack, said: str) -> None:
    (stack.folder / "bin" / "ssh").write_text(f"#!/bin/sh\necho '{said}' >&2; exit 1\n")
    found = thing(CONTAINER["resource"]["type"], {"name": "a"}, DOCKER["inputs"])
    assert found is not None
    assert not found.exists()


def test_what_cannot_be_removed_is_told(stack: Stack) -> None:
    (stack.folder / "bin" / "virsh").write_text("#!/bin/sh\necho error: in use >&2; exit 1\n")
    found = thing(VOLUME["resource"]["type"], VOLUME["resource"]["inputs"], LIBVIRT["inputs"])
    assert found is not None
    with pytest.raises(RemoveError, match=r"volume web-1-disk-1a2b3c4 on .* removed: in use"):
        found.remove()


def test_secrets_that_are_not_shown_are_no_names() -> None:
    hidden = {"4dabf18193072939515e22adb298388d": "1b47", "ciphertext": "v1:x"}
    volume = creating("docker:index/volume:Volume", "v", DOCKER)
    volume["resource"]["inputs"]["name"] = hidden
    (note,) = notes.notes({"resources": [DOCKER], "pending_operations": [volume]})
    assert note.unknown == "the pending operation of a volume of Docker has no name"


def test_what_a_provider_that_is_gone_managed_is_gone_too() -> None:
    (note,) = notes.notes({"resources": [], "pending_operations": [DOMAIN]})
    assert (note.left, note.unknown) == (None, "")


def test_a_tree_of_processes_is_killed_to_the_last(tmp_path: Path) -> None:
    script = f"setsid sleep 60 & echo $! > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; wait"
    with subprocess.Popen(("sh", "-c", script)) as process:
        while not (tmp_path / "pid").exists() and process.poll() is None:
            time.sleep(0.01)
        processes.kill_tree(process.pid)
        assert process.wait() == -signal.SIGKILL
    assert ended(int((tmp_path / "pid").read_text()))


def test_what_a_plugin_has_left_in_its_group_goes_too(tmp_path: Path) -> None:
    leave = 'sleep 60 & echo $! >"$0/new"; mv "$0/new" "$0/pid"'
    script = f"sh -c '{leave}' {tmp_path}; exec sleep 60"
    with subprocess.Popen(("sh", "-c", script), process_group=0) as process:
        while not (tmp_path / "pid").exists() and process.poll() is None:
            time.sleep(0.01)
        processes.kill_tree(process.pid)
        assert process.wait() == -signal.SIGKILL
    assert ended(int((tmp_path / "pid").read_text()))
