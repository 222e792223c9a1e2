"""The edge's access log where no journal is."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote.edge_agent import logfile
from remote.edge_agent.instance import Instance, without_requests
from remote.edge_agent.system import poll
from tests.support.edge_script import Edge, an_edge, server

pytestmark = [
    pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed here"),
    pytest.mark.skipif(os.geteuid() != 0, reason="the edge's HAProxy is started by root"),
]


@pytest.fixture
def edge() -> Iterator[Edge]:
    with an_edge() as made:
        yield made


def test_the_log_is_a_file_of_bounded_size_where_no_journal_is(edge: Edge) -> None:
    with server() as backend:
        edge.run("apply", edge.text(backend))
        assert edge.get()[0] == 200
        instance = Instance(str(edge.folder), "test")
        log = instance.access_log
        assert poll(lambda: log.exists() and log.stat().st_size > 0, 10)
        (line,) = log.read_text().splitlines()
        assert json.loads(line)["status"] == 200
        assert edge.run("remove").returncode == 0
        assert not edge.folder.exists(), "and who writes it has ended"


def test_a_log_that_is_full_is_put_aside_once(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    logfile.write([b"one\n", b"two\n", b"three\n", b"four\n", b"five\n"], log, limit=10)
    assert log.read_bytes() == b"four\nfive\n"
    assert log.with_name("access.log.1").read_bytes() == b"three\n"
    assert {path.name for path in tmp_path.iterdir()} == {"access.log", "access.log.1"}


def test_a_log_is_written_in_whole_lines_as_soon_as_they_are_there() -> None:
    reading, writing = os.pipe()
    lines = logfile.blocks(reading)
    os.write(writing, b"one\ntwo\nthr")
    assert next(lines) == b"one\ntwo\n"
    os.write(writing, b"ee\n")
    assert next(lines) == b"three\n"
    os.write(writing, b"cut sho")
    os.close(writing)
    assert list(lines) == [b"cut sho"], "and what was begun is not lost"
    os.close(reading)


def test_what_haproxy_says_of_itself_is_found_among_requests() -> None:
    told = ["[ALERT] cannot bind", '{"time":1.0}', "backend app has no server available!"]
    assert without_requests(told) == [told[0], told[2]]


def test_a_log_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    logfile.write([b"one\n", b"two\n"], tmp_path / "gone" / "access.log")
