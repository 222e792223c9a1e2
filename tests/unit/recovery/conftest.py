"""The stack that is recovered."""

import os
from pathlib import Path

import pytest

from tests.support.recovery import PULUMI, SSH, VIRSH, Stack


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("pulumi", PULUMI), ("virsh", VIRSH), ("ssh", SSH)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("STATE", str(tmp_path))
    return Stack(tmp_path)
