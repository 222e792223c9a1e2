"""Fixtures of several tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from components.config import machine
from remote.vm_agent import (
    docker,
    polling,
)
from tests.support.virtual import Vm


@pytest.fixture(autouse=True)
def a_hypervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that a libvirt runs here."""
    monkeypatch.setattr(machine, "hypervisor_problem", lambda _: None)


@pytest.fixture
def vm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vm]:
    monkeypatch.setattr(docker, "SOCKET", str(tmp_path / "docker.sock"))
    monkeypatch.setattr(polling, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(docker, "last_lines", lambda _: "\n  log")
    made = Vm(tmp_path)
    yield made
    made.close()
