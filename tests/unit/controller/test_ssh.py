"""How people and programs get onto a VM: the words of ssh, and what stands in the way."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller import enter
from controller.ssh import EnterError, addresses, entering, options, options_in, verified
from lab.__main__ import main as lab_main
from lab.commands import Lab
from lab.datacentre import Datacentre

Ended = subprocess.CompletedProcess[str]
OUTPUTS: dict[str, Any] = {
    "vms": {"web-0": {"address": "10.90.0.7"}, "web-1": {"address": "10.90.0.8"}},
    "edge": {"address": "10.90.0.254:443", "vm": "web-edge", "ssh": "ssh …"},
}


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    folder = tmp_path / ".gatehouse" / "prod"
    folder.mkdir(parents=True)
    for name in ("id_ed25519", "web-0.known_hosts", "web-edge.known_hosts"):
        (folder / name).touch()
    return folder


def settings(words: tuple[str, ...]) -> dict[str, str]:
    """Return the options that are set with -o."""
    given = [word for before, word in itertools.pairwise(words) if before == "-o"]
    return dict(each.split("=", 1) for each in given)


def test_every_way_takes_the_pinned_key_and_no_other() -> None:
    for words in (
        verified(known_hosts="pinned", host="edge"),
        options(key_file="key", known_hosts="pinned", host="web-0"),
        options_in(Path("keys"), "web-0"),
    ):
        told = settings(words)
        assert told["StrictHostKeyChecking"] == "yes"
        assert told["BatchMode"] == "yes", "nobody is asked whether a key is right"
        assert told["GlobalKnownHostsFile"] == "/dev/null"
        assert told["UserKnownHostsFile"] in ("pinned", "keys/web-0.known_hosts")
        assert told["HostKeyAlias"] in ("edge", "web-0")


_NAMES = st.text("az09-", min_size=1, max_size=30)
_FOLDERS = st.lists(st.text("ab-é%", min_size=1, max_size=30), max_size=9).map("/".join)


@given(_FOLDERS, _NAMES, _NAMES)
def test_a_shared_connection_has_a_socket_that_fits_or_there_is_none(
    checkout: str, stack: str, farm: str
) -> None:
    keys = Path(checkout) / ".gatehouse" / stack
    told = settings(options_in(keys, f"{farm}-999"))
    if told["ControlMaster"] == "no":
        assert told["ControlPath"] == "none"
        assert len(os.fsencode(keys)) > 40, "only a path that leaves no room"
        return
    socket = told["ControlPath"].replace("%%", "%").replace("%h", "255.255.255.255")
    assert "%h" in told["ControlPath"]
    assert len(os.fsencode(f"{socket}.{'x' * 16}\0")) <= 104, "as ssh makes it, on any system"
    assert Path(socket).parent == keys, "which nobody else may enter"


def test_in_a_checkout_long_names_of_vms_share_connections() -> None:
    told = settings(options_in(Path(".gatehouse") / ("s" * 40), f"{'f' * 30}-edge"))
    assert told["ControlMaster"] == "auto"


@pytest.mark.parametrize("farm", ["web", "f" * 30])
def test_each_vm_has_a_socket_for_itself(farm: str) -> None:
    keys = Path(".gatehouse") / ("s" * 40)
    vms = [f"{farm}-{index}" for index in range(99)]
    assert len({settings(options_in(keys, vm))["ControlPath"] for vm in vms}) == 99


def test_words_that_the_state_has_stay_the_same_where_there_was_room() -> None:
    told = settings(options_in(Path(".gatehouse/prod"), "web-0"))
    assert told["ControlPath"] == ".gatehouse/prod/web-0.known_hosts.%h"


def test_the_addresses_are_those_of_vms_and_of_an_edge_that_is_one() -> None:
    found = {"web-0": "10.90.0.7", "web-1": "10.90.0.8"}
    assert addresses(OUTPUTS) == {**found, "web-edge": "10.90.0.254"}
    assert addresses({**OUTPUTS, "edge": {"address": "192.0.2.80:443"}}) == found
    assert addresses({}) == {}


def test_a_shell_or_a_command_on_a_vm(keys: Path) -> None:
    shell = entering(OUTPUTS, "web-0", keys, missing="")
    assert shell == ("ssh", *options_in(keys, "web-0"), "gatehouse@10.90.0.7")
    command = entering(OUTPUTS, "web-edge", keys, command="-x it's", missing="")
    assert command[-3:] == ("gatehouse@10.90.0.254", "--", "-x it's")


@pytest.mark.parametrize(
    ("outputs", "vm", "told"),
    [
        (OUTPUTS, "web-7", "there are web-0, web-1, web-edge (got web-7)"),
        (OUTPUTS, "", "there are web-0, web-1, web-edge (got none)"),
    ],
)
def test_a_vm_that_is_not_there_is_told_with_those_that_are(
    keys: Path, outputs: dict[str, Any], vm: str, told: str
) -> None:
    with pytest.raises(EnterError) as error:
        entering(outputs, vm, keys, missing="")
    assert str(error.value) == f"VM: must be one of the stack's VMs; {told}"


def test_a_stack_whose_first_update_failed_has_no_addresses(keys: Path) -> None:
    with pytest.raises(EnterError, match="before a `pulumi up` has succeeded; run it again"):
        entering({}, "web-0", keys, missing="")


Program = Callable[[str, str], None]


@pytest.fixture
def program(tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Put a shell script on a PATH that has nothing else, in the folder with the keys."""
    assert keys.is_relative_to(tmp_path)
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("STATE", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def write(name: str, body: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)

    return write


def test_pulumi_is_asked_where_the_vm_of_a_stack_is(program: Program, tmp_path: Path) -> None:
    program("pulumi", f'echo "$*" >"$STATE/asked"; echo \'{json.dumps(OUTPUTS)}\'')
    words = enter.words("acme/prod", "web-0", "docker ps")
    assert (tmp_path / "asked").read_text() == "stack output --json --stack acme/prod\n"
    folder = Path(".gatehouse/prod")  # short enough for the path of a socket, wherever this is
    assert words == ("ssh", *options_in(folder, "web-0"), "gatehouse@10.90.0.7", "--", "docker ps")


def test_key_files_that_are_elsewhere_are_told_with_what_writes_them(
    program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    program("pulumi", f"echo '{json.dumps(OUTPUTS)}'")
    assert enter.main(["--stack", "prod", "web-1"]) == 1
    assert capsys.readouterr().err == (
        "ssh: .gatehouse/prod/web-1.known_hosts is not on this machine: run"
        " `pulumi preview --stack prod` in this folder, which writes it\n"
    )


def test_a_pulumi_that_fails_or_is_missing_is_told(
    program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    assert enter.main(["--stack", "prod", "web-0"]) == 1
    assert "pulumi is not on PATH" in capsys.readouterr().err
    program("pulumi", "exit 255")
    assert enter.main(["--stack", "prod", "web-0"]) == 1
    failed = "ssh: `pulumi stack output --json --stack prod` failed, see above\n"
    assert capsys.readouterr().err == failed


def test_it_becomes_ssh(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    program("pulumi", f"echo '{json.dumps(OUTPUTS)}'")
    became: list[tuple[str, ...]] = []

    def execvp(file: str, words: tuple[str, ...]) -> None:
        assert file == "ssh"
        became.append(words)
        sys.exit(7)

    monkeypatch.setattr("os.execvp", execvp)
    with pytest.raises(SystemExit, match="7"):
        enter.main(["--stack", "prod", "web-0", "--command", ""])
    assert became[0][-1] == "gatehouse@10.90.0.7", "a shell to type in"


def test_the_labs_vms_are_entered_from_inside_the_lab(
    keys: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = keys.parents[1]
    keys.rename(keys.with_name("lab"))
    entered: list[tuple[str, ...]] = []

    def enter(_: Datacentre, argv: tuple[str, ...], *, cwd: Path) -> Ended:
        assert cwd == project
        entered.append(argv)
        return Ended(argv, 3)

    monkeypatch.setattr("lab.commands.PROJECT", project)
    monkeypatch.setattr(Datacentre, "enter", enter)
    monkeypatch.setattr(Lab, "_outputs", lambda _: OUTPUTS)
    assert lab_main(["ssh", "web-edge", "--command", "docker ps"]) == 3
    (words,) = entered
    there = ("gatehouse@10.90.0.254", "--", "docker ps")
    assert words == ("ssh", *options_in(Path(".gatehouse/lab"), "web-edge"), *there)
    assert lab_main(["ssh"]) == 1
    assert "error: VM: must be one of the stack's VMs; there are" in capsys.readouterr().err
    assert lab_main(["ssh", "web-1"]) == 1
    assert "is not on this machine: run `make preview`" in capsys.readouterr().err
