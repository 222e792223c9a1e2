"""The loops that keep HAProxy and its log running where there is no systemd."""

import os
import subprocess
from pathlib import Path

import pytest

from remote.edge_agent import supervision
from remote.edge_agent.supervision import Loops
from tests.support.virtual import eventually


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of an edge, with a name that a shell would split."""
    monkeypatch.setattr(supervision, "_WRITER_PAUSE", 0.05)
    monkeypatch.setattr("remote.edge_agent.systemd.RESTART_SECONDS", 0.05)
    monkeypatch.setattr("remote.edge_agent.systemd.confined", list)
    folder = tmp_path / "an 'edge'"
    folder.mkdir()
    (folder / "haproxy.cfg").touch()
    return folder


def test_haproxy_is_started_until_it_ends_well_and_only_once(folder: Path) -> None:
    script = f'cd "{folder}"; echo x >>starts; [ "$(wc -l <starts)" = 3 ]'
    loops = Loops(folder, "edge")
    loops._start_haproxy(("sh", "-c", script), subprocess.DEVNULL)
    eventually(lambda: (folder / "starts").exists())
    eventually(loops.ended)
    assert (folder / "starts").read_text() == "x\n" * 3


def test_a_loop_for_a_haproxy_that_runs_waits_for_its_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = folder / "bin"
    programs.mkdir()
    (programs / "sleep").write_text(f'#!/bin/sh\ntouch "{folder}/waits"; exec /bin/sleep "$@"\n')
    (programs / "sleep").chmod(0o755)
    with subprocess.Popen(("sleep", "60")) as master:
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        command = (
            "sh",
            "-c",
            f'ps -o stat= {master.pid} >"{folder}/part"; mv "$0/part" "$0/state"',
        )
        Loops(folder, "edge")._start_haproxy(
            (*command, str(folder)), subprocess.DEVNULL, master.pid
        )
        try:
            # Not by its lock: to look at it takes it, and the loop would give up.
            eventually(lambda: (folder / "waits").exists() or (folder / "state").exists())
        finally:
            master.kill()
        eventually((folder / "state").exists)
    assert (folder / "state").read_text()[:1] == "Z", "it was started beside one that ran"


def test_the_writer_of_the_log_runs_again_while_its_program_is_there(folder: Path) -> None:
    program = folder / "keeper.pyz"
    program.write_text(f"open({str(folder / 'runs')!r}, 'a').write('x'); raise SystemExit(1)")
    loops = Loops(folder, "edge")
    loops._start_log(subprocess.DEVNULL)
    eventually(lambda: (folder / "runs").exists() and len((folder / "runs").read_text()) > 1)
    program.unlink()
    eventually(loops.ended)
