"""The wait for Traefik on a VM: it ends in time, whatever Docker does, and says why."""

from pathlib import Path

import pytest

from remote.vm_agent import ready


@pytest.fixture(autouse=True)
def _short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(ready, "_DOCKER_SECONDS", 0.5)


def docker(folder: Path, inspect: str, logs: str) -> None:
    file = folder / "docker"
    file.write_text(f'#!/bin/sh\ncase "$1" in inspect) {inspect};; logs) {logs};; esac\n')
    file.chmod(0o755)


@pytest.mark.parametrize(
    ("inspect", "logs", "said"),
    [
        ("echo gone >&2; exit 1", "echo last", ("0 s: gone\n", "\nlast\n")),
        ("echo", "printf 'a\\377b\\n'", ("it is not running", "\na\ufffdb\n")),
        ("exec sleep 1000", "echo last", ("(Docker does not answer within", "\nlast\n")),
        ("echo", "echo begun; exec sleep 1000", ("it is not running", "\nbegun\n(Docker does")),
        ("echo 127.0.0.1", "echo last", ("refused", "\nlast\n")),
    ],
)
def test_it_ends_and_says_why(
    inspect: str,
    logs: str,
    said: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    docker(tmp_path, inspect, logs)
    assert ready.main("traefik", "1", "/ping", "0") == 1
    told = capsys.readouterr().err
    for each in said:
        assert each in told
