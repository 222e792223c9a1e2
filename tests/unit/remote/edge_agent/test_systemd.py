"""The edge under systemd, with programs of our own in its place; test_lab_edge has the real one."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from remote.edge_agent import systemd, timer
from remote.edge_agent.instance import Instance
from remote.edge_agent.system import EdgeError


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
    monkeypatch.setattr(systemd, "UNITS", tmp_path)
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
    (tmp_path / edge.unit).touch()
    edge.stop()
    assert not (tmp_path / edge.unit).exists()
    assert not edge.folder.exists()
    assert (tmp_path / "asked").read_text().splitlines() == [
        "disable --now gatehouse-test.service",
        "daemon-reload",
    ]


def analyze(verb: str, unit: Path, text: str, *options: str) -> str:
    """Return what systemd has to say against a unit."""
    unit.write_text(text)
    command = ("systemd-analyze", verb, *options, str(unit))
    told = subprocess.run(command, check=False, capture_output=True, text=True)
    return "" if told.returncode == 0 and verb == "security" else told.stdout + told.stderr


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None or shutil.which("haproxy") is None,
    reason="systemd-analyze and haproxy are not both installed here",
)
@pytest.mark.parametrize("exposure", [("gatehouse-test", 35), ("gatehouse-test-renew", 65)])
def test_systemd_has_nothing_to_say_against_the_units(
    tmp_path: Path, exposure: tuple[str, int]
) -> None:
    name, most = exposure
    edge = Instance("/var/lib/gatehouse/test", "test")
    text = edge.unit_text() if name == "gatehouse-test" else timer.service_text(edge)
    unit = tmp_path / f"{name}.service"
    assert analyze("verify", unit, text, "--man=no") == ""
    # Of 100; it was 96 for both before they were confined.
    assert analyze("security", unit, text, "--offline=yes", f"--threshold={most}") == ""
