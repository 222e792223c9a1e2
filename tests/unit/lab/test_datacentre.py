"""The lab's pure parts: names, locks, processes, what is set up, and what a machine must have."""

import io
import json
import os
import time
from pathlib import Path

import pytest

from lab import datacentre, kvm, layout, namespaces, prerequisites
from lab.console import duration, note, step
from lab.lock import Lock, LockError, alive, busy, describe


@pytest.mark.parametrize("name", ["", "Lab", "a/b", "-a", "a b", "..", "ä"])
def test_a_lab_has_a_plain_name(name: str) -> None:
    with pytest.raises(datacentre.DatacentreError, match="lower-case letters"):
        datacentre.Datacentre(name)


def test_everything_of_a_lab_is_in_its_folder_but_its_lock() -> None:
    lab = datacentre.Datacentre("test-2")
    assert lab.root == Path("/var/lib/gatehouse-lab/test-2")
    assert lab.lock.path == Path("/var/lib/gatehouse-lab/test-2.lock")


def test_names_resolve_to_the_address_that_has_them() -> None:
    named = {"198.18.0.1": ["hello.lab", "b.lab"], "198.18.0.2": ["deb.debian.org"]}
    assert layout.hosts_file(named).splitlines()[-2:] == [
        "198.18.0.1 hello.lab b.lab",
        "198.18.0.2 deb.debian.org",
    ]
    assert "198.18.0.1" not in layout.hosts_file({"198.18.0.1": []})


def test_an_account_is_added_once() -> None:
    line = "libvirt-qemu:x:64055:"
    once = layout.with_account("root:x:0:\n", line)
    assert once == f"root:x:0:\n{line}\n"
    assert layout.with_account(once, line) == once


def test_production_s_folders_are_private_in_the_lab() -> None:
    commands = layout.set_up(Path("/labs/lab"), Path("/cache/debian-12.qcow2"))
    for path in layout.PRIVATE:
        assert ["mount", "--bind", f"/labs/lab/fs{path}", path] in commands
    sysfs = commands.index(["mount", "-t", "sysfs", "sysfs", "/sys"])
    assert "umount" in commands[sysfs - 1], "libvirt must not see the machine's cgroups"


def test_the_second_holder_is_told_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "lab.lock"
    with Lock(path) as held:
        assert held.fileno() is not None
        with pytest.raises(LockError, match=rf"pid {os.getpid()} \(.*\), since .*{path}"):
            Lock(path).__enter__()
    with Lock(path):
        pass


def test_a_holder_that_was_killed_is_told_from_one_that_works() -> None:
    assert alive(describe(os.getpid(), ["make"]))
    assert not alive(describe(2**22 + 1, ["make"]))  # above the kernel's largest process id
    assert alive(""), "it has the lock and has not written yet"


def test_a_lock_lasts_as_long_as_a_descriptor_of_it(tmp_path: Path) -> None:
    path = tmp_path / "lab.lock"
    with Lock(path) as held:
        child_s = os.dup(held.fileno() or -1)
    with pytest.raises(LockError):
        Lock(path).__enter__()
    os.close(child_s)
    with Lock(path):
        pass


def test_a_holder_that_has_not_written_yet_is_no_riddle() -> None:
    assert "another command that has just begun" in busy(Path("/l"), "")
    saved = json.loads(describe(7, ["make", "up the lab"]))
    assert (saved["pid"], saved["command"]) == (7, "make 'up the lab'")


@pytest.mark.parametrize(
    ("status", "first"),
    [
        ("State:\tS (sleeping)\nNSpid:\t812\t1\n", True),
        ("State:\tS (sleeping)\nNSpid:\t812\t9\n", False),
        ("State:\tS (sleeping)\nNSpid:\t1\n", False),
        ("State:\tZ (zombie)\nNSpid:\t812\t1\n", False),
    ],
    ids=["first inside", "another inside", "the machine's own", "dead"],
)
def test_the_first_process_of_a_lab_is_told_by_its_number_inside(status: str, first: bool) -> None:
    assert namespaces.is_first(status) is first


def test_a_lab_that_was_never_started_does_not_run_and_stops(tmp_path: Path) -> None:
    space = namespaces.Namespaces(tmp_path)
    assert space.init() is None
    space.destroy()
    with pytest.raises(namespaces.NamespaceError, match="does not run: start it first"):
        space.command(["true"])


def test_what_is_left_from_before_a_restart_of_the_machine_is_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespaces, "end", lambda pids: pytest.fail(f"would kill {pids}"))
    own = namespaces.identity(os.getpid())
    record = {"boot": "another", "net": own.net, "mnt": own.mnt, "pid": own.pid}
    (tmp_path / "namespaces.json").write_text(json.dumps(record))
    namespaces.Namespaces(tmp_path).destroy()


def test_waiting_ends_when_it_is_ready_or_late() -> None:
    answers = iter([False, True])
    assert namespaces.wait_until(lambda: next(answers), 5)
    began = time.monotonic()
    assert not namespaces.wait_until(lambda: False, 0.1)
    assert time.monotonic() - began < 2


def test_too_little_disk_or_memory_is_said_in_numbers() -> None:
    with pytest.raises(
        prerequisites.MachineError, match=r"/var: 0\.5 GB free, the lab needs 4\.3 GB"
    ):
        prerequisites.check_disk(Path("/var"), 500_000_000)
    prerequisites.check_disk(Path("/var"), prerequisites.NEEDED_DISK)
    with pytest.raises(prerequisites.MachineError, match=r"1\.0 GB available.* need 4\.3 GB"):
        prerequisites.check_memory("MemTotal: 9 kB\nMemAvailable:  1000000 kB\n")
    prerequisites.check_memory(f"MemAvailable: {prerequisites.NEEDED_MEMORY // 1024} kB\n")


def test_disk_is_looked_at_where_the_folder_will_be(tmp_path: Path) -> None:
    assert prerequisites.existing(tmp_path / "a" / "b") == tmp_path


def test_an_answer_about_kvm_holds_until_the_next_boot(tmp_path: Path) -> None:
    answer = tmp_path / "kvm.json"
    assert kvm.remembered(answer, "boot-1") is None
    answer.write_text(json.dumps({"boot": "boot-1", "type": "kvm"}))
    assert kvm.remembered(answer, "boot-1") == "kvm"
    assert kvm.remembered(answer, "boot-2") is None
    answer.write_text("half a li")
    assert kvm.remembered(answer, "boot-1") is None


def test_a_step_tells_what_runs_and_how_it_ended() -> None:
    out = io.StringIO()
    with step("build", out):
        note("half way", out)
    assert out.getvalue() == "==> build\n    half way\n    done in 0.0 s\n"
    out = io.StringIO()
    with pytest.raises(RuntimeError), step("build", out):
        raise RuntimeError
    assert out.getvalue().splitlines()[-1] == "    failed after 0.0 s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (12.4, "12 s"), (119.4, "119 s"), (185.2, "3 min 5 s")],
)
def test_time_is_told_as_people_do(seconds: float, text: str) -> None:
    assert duration(seconds) == text
