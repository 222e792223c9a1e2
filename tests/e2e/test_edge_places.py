"""An edge whose folder is moved, or given by another path, while it serves."""

import http.client
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from remote.archive import EDGE_AGENT, archive
from remote.edge_agent import claims, seal
from remote.edge_agent.system import poll
from remote.shipping import archive_command
from tests.support.edge_driver import PORT, Edge
from tests.support.edge_load import APP, Servers

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="the edge's HAProxy is started by root: run this as root"
)
ADDRESS = "127.0.2.1"


def agent(edge: Edge, verb: str, folder: Path) -> str:
    """Run the edge agent as Pulumi does, for another folder; return why it refuses."""
    given = ""
    if verb in {"apply", "users"}:
        other = Edge(folder)
        other.config = edge.config
        given = seal.sealed(other.text({"web-0": ADDRESS}) if verb == "apply" else "userlist a\n")
    words = ("10",) if verb == "apply" else ()
    command = archive_command(archive(EDGE_AGENT), verb, str(folder), edge.instance.name, *words)
    done = subprocess.run(
        ["/bin/sh", "-c", command], input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def tree(folder: Path) -> dict[str, int]:
    """Return all paths below a folder with when they changed, but logs and the hourly renewal's."""
    return {
        str(path): path.lstat().st_ctime_ns
        for path in folder.rglob("*")
        if path.suffix != ".log" and path.stem != "renew"
    }


VERBS = ("users", "apply", "renew", "remove")


def test_another_path_of_the_same_folder_is_refused(edge: Edge, servers: Servers) -> None:
    with servers.running(ADDRESS):
        edge.apply({"web-0": ADDRESS})
        real = edge.instance.folder
        link = real.parent / "link"
        link.symlink_to(real.parent)
        before, worker = tree(real), edge.worker()
        kept = http.client.HTTPConnection("127.0.0.1", PORT)
        for verb in VERBS:
            told = agent(edge, verb, link / real.name)
            assert f"edge.folder: {link / real.name} is another path of {real}" in told
            assert f"set edge.folder to {real.parent} again" in told
            assert f"(got {link})" in told
            kept.request("GET", "/", headers={"Host": APP})
            answer = kept.getresponse()
            assert (answer.status, answer.read() != b"") == (200, True)
        kept.close()
        assert (tree(real), edge.worker()) == (before, worker)
        link.unlink()


def test_a_link_that_took_the_folders_place_is_the_same_path(edge: Edge, servers: Servers) -> None:
    with servers.running(ADDRESS):
        edge.apply({"web-0": ADDRESS})
        real, moved = edge.instance.folder, edge.instance.folder.parent / "moved"
        real.rename(moved)
        real.symlink_to(moved)
        claims.check(edge.instance)
        edge.apply({"web-1": ADDRESS})
        assert edge.get()[0] == 200
        real.unlink()
        moved.rename(real)


def test_a_folder_that_was_moved_is_refused_before_anything_is_done(
    edge: Edge, servers: Servers
) -> None:
    with servers.running(ADDRESS):
        edge.apply({"web-0": ADDRESS})
        real = edge.instance.folder
        moved = real.parent / "moved" / real.name
        moved.parent.mkdir()
        real.rename(moved)
        before = tree(real.parent)
        cases = [(verb, folder) for verb in VERBS for folder in (moved, real)]
        for verb, folder in cases:
            told = agent(edge, verb, folder)
            assert f"edge.folder: {real} was moved or deleted while HAProxy (pid " in told
            assert f"move it back with `mv {moved} {real}`" in told
            assert (f"set edge.folder to {real.parent} again" in told) == (folder != real)
        assert tree(real.parent) == before
        assert edge.get()[0] == 200
        moved.rename(real)
        edge.apply({"web-1": ADDRESS})
        assert edge.get()[0] == 200


def test_a_folder_that_was_deleted_is_refused_until_haproxy_has_ended(
    edge: Edge, servers: Servers
) -> None:
    with servers.running(ADDRESS):
        edge.apply({"web-0": ADDRESS})
        real, master, worker = edge.instance.folder, edge.master(), edge.worker()
        # The hourly renewal may just be writing into it.
        gone = real.rename(real.with_name("gone"))
        while gone.exists():
            shutil.rmtree(gone, ignore_errors=True)
        for verb in VERBS:
            told = agent(edge, verb, real)
            assert f"edge.folder: {real} was moved or deleted while HAProxy (pid {worker})" in told
            assert f"end it with `kill {worker}`" in told
        assert edge.get()[0] == 200
        os.kill(worker, signal.SIGTERM)
        assert poll(lambda: not Path(f"/proc/{master}").exists(), 30.0)
        edge.apply({"web-1": ADDRESS})
        assert edge.get()[0] == 200
