"""Which processes can be an edge's."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from remote.edge_agent import places, processes

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="starts processes of other users")
NOBODY = 65534
SHELL = "/bin/sh"


@contextmanager
def running(*words: str, uid: int, program: str = SHELL) -> Iterator[int]:
    with subprocess.Popen(
        (program, "-c", "echo; read ended", *words),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        user=uid,
        cwd="/",
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


@pytest.mark.parametrize(("uid", "counts"), [(0, True), (NOBODY, False)])
def test_only_processes_of_root_and_the_workers_are_believed(
    tmp_path: Path, uid: int, counts: bool
) -> None:
    edge = tmp_path / "edge"
    with running(f"{edge}/master.sock,mode,600", uid=uid) as pid:
        found = [each for each in places.serving() if each.folder == edge]
        assert [each.pid for each in found] == ([pid] if counts else [])
    with running(f"{edge}/keeper.pyz", "log", str(edge), "prod", uid=uid):
        assert ((edge, "prod") in processes.logging()) == counts


def test_a_program_that_anybody_may_run_as_root_is_not_believed(tmp_path: Path) -> None:
    program = tmp_path / "su"
    program.write_bytes(Path(SHELL).read_bytes())
    program.chmod(0o4755)
    with running("/edge/master.sock,mode,600", uid=0, program=str(program)) as pid:
        assert pid not in [each.pid for each in places.serving()]
