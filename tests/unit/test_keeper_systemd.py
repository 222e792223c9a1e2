"""The edge under systemd, with programs of our own in its place; test_lab_edge has the real one."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from components.edge.keeper import instance
from components.edge.keeper.instance import Instance, unit_text
from components.edge.keeper.system import EdgeError


@pytest.fixture
def edge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Instance:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, body in (
        ("systemctl", 'echo "$*" >>"$STATE/asked"; [ "$1" != enable ] || exit 1'),
        ("journalctl", 'echo "cannot bind socket (Address already in use)"'),
        ("haproxy", "exit 1"),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("STATE", str(tmp_path))
    monkeypatch.setattr(instance, "UNITS", tmp_path)
    made = Instance(str(tmp_path / "edge"), "test")
    made.folder.mkdir()
    made.live.write_text("global\n")
    made.under_systemd = True
    return made


def test_what_does_not_start_is_told_and_not_tried_for_ever(edge: Instance, tmp_path: Path) -> None:
    with pytest.raises(
        EdgeError, match=r"gatehouse-test\.service does not start:\ncannot bind socket"
    ):
        edge.start()
    assert (tmp_path / "asked").read_text().splitlines() == [
        "daemon-reload",
        "enable --now gatehouse-test.service",
        "disable --now gatehouse-test.service",
    ]
    assert not edge.live.exists()


def test_taken_away_it_leaves_no_unit(edge: Instance, tmp_path: Path) -> None:
    (tmp_path / edge.unit).write_text(unit_text("test", ["haproxy"]))
    edge.stop()
    assert not (tmp_path / edge.unit).exists()
    assert not edge.folder.exists()
    assert (tmp_path / "asked").read_text().splitlines() == [
        "disable --now gatehouse-test.service",
        "daemon-reload",
    ]


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None or shutil.which("haproxy") is None,
    reason="systemd-analyze and haproxy are not both installed here",
)
def test_systemd_has_nothing_to_say_against_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "gatehouse-test.service"
    edge = Instance("/var/lib/gatehouse/test", "test")
    unit.write_text(unit_text("test", edge.command("-Ws")))
    command = ("systemd-analyze", "verify", "--man=no", str(unit))
    told = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (told.returncode, told.stdout + told.stderr) == (0, "")
