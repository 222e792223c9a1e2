"""What several tests start."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pulumi
import pytest
from pulumi.runtime import settings

from components.host import agent
from tests.unit.engine_project import Project
from tests.unit.virtual import Vm


@pytest.fixture
def vm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vm]:
    monkeypatch.setattr(agent, "DOCKER_SOCKET", str(tmp_path / "docker.sock"))
    monkeypatch.setattr(agent, "_POLL_SECONDS", 0.02)
    monkeypatch.setattr(agent, "last_lines", lambda _: "\n  log")
    made = Vm(tmp_path)
    yield made
    made.close()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.chdir(tmp_path)  # the engine changes it, and this puts it back
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr("os.fsync", lambda _: None)  # slow, and no test cuts the power
    monkeypatch.setenv("FAKE_WORLD", str(tmp_path / "world"))
    yield Project(tmp_path)
    settings.reset_options()
    pulumi.runtime.set_all_config({})
