"""Data whose volume or disk Pulumi creates again, although the state has it, is warned of."""

import logging
from pathlib import Path
from typing import Any

import pytest

from tests.support import program
from tests.support.data import DATA, FOLDER, config, expendable

VOLUME = "services.hello.volumes.0: this update creates a new, empty volume data on web-0"
DISK = "web-0: this update creates a new, empty disk in place of one that holds data"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("preview", [True, False])
@pytest.mark.parametrize(
    ("volume", "created", "warned"),
    [
        (DATA, "", ""),
        (DATA, "hello-web-0-data", VOLUME),
        (DATA, "web-0-disk", DISK),
        (FOLDER, "web-0-disk", DISK),
        (DATA, "web-0-domain", ""),
        (expendable(DATA), "hello-web-0-data", ""),
        (expendable(DATA), "web-0-disk", ""),
    ],
)
def test_data_that_is_created_again_is_warned_of(
    preview: bool,
    volume: dict[str, Any],
    created: str,
    warned: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    raw = config(volume)
    before = program.run(raw)
    assert "creates a new, empty" not in caplog.text, "there was none"
    program.run(raw, before=before, preview=preview, created=lambda name: name == created)
    assert caplog.text.count("creates a new, empty") == (1 if warned else 0)
    assert warned in caplog.text
    if warned:
        assert f"({created}-abc1234)" in caplog.text, "the old one is named"


def test_a_first_preview_warns_of_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    program.run(config(DATA, FOLDER), preview=True)
    assert "creates a new, empty" not in caplog.text
