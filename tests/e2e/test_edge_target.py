"""An edge on another machine: the real ssh and sshd, on loopback, and the real HAProxy."""

import dataclasses
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.config.models.edge import Edge as EdgeConfig
from components.edge.edge_target import ssh_words
from controller.ssh import known_hosts_line
from lab.commands import PROJECT
from remote.edge_agent.seal import sealed
from tests.support import sshd
from tests.support.edge_driver import SERVER_PORT, SSH_PORT, Edge, an_edge
from tests.support.edge_load import Servers

ADDRESS = "127.0.0.41"
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="the edge's HAProxy is started by root: run this as root"
)


@pytest.fixture(scope="module")
def server() -> Iterator[sshd.SshServer]:
    with sshd.running(SSH_PORT) as running:
        yield running


@pytest.fixture
def edge() -> Iterator[Edge]:
    with an_edge() as made:
        yield made


def reach(
    server: sshd.SshServer,
    edge: Edge,
    folder: Path,
    action: str,
    text: str = "",
    printed: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the command that the graph runs, with what it is given there."""
    known_hosts = folder / "known_hosts"
    known_hosts.write_text(known_hosts_line("edge", server.host_key))
    config = EdgeConfig(host="127.0.0.1", ssh_port=server.port, host_key=server.host_key)
    environment = {
        "GATEHOUSE_SSH": shlex.join(ssh_words(config, str(known_hosts))),
        "GATEHOUSE_KEY": "edge.host",
        "GATEHOUSE_HOST": "127.0.0.1",
    }
    arguments = [action, str(edge.instance.folder), edge.instance.name]
    arguments += ["10"] if action == "apply" else []
    arguments += [] if printed is None else ["--printed", printed]
    return subprocess.run(
        (sys.executable, "-m", "controller.reach", *arguments),
        check=False,
        input=sealed(text),
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env={**server.agent, **environment},
    )


def test_it_is_put_into_force_and_taken_away_over_ssh(
    server: sshd.SshServer, edge: Edge, tmp_path: Path
) -> None:
    servers = Servers(SERVER_PORT)
    with servers.running(ADDRESS):
        done = reach(server, edge, tmp_path, "apply", edge.text({"web-0": ADDRESS}))
        assert done.returncode == 0, done.stderr
        assert edge.get() == (200, ADDRESS)
        bad = reach(
            server,
            edge,
            tmp_path,
            "apply",
            edge.text({"web-0": ADDRESS}).replace("=== routes.map", "nonsense\n=== routes.map"),
        )
        assert bad.returncode == 1
        assert "unknown keyword 'nonsense'" in bad.stderr
        assert edge.get() == (200, ADDRESS), "the edge agent's own words and code come back"
        done = reach(server, edge, tmp_path, "remove")
        assert done.returncode == 0, done.stderr
    assert not edge.instance.folder.exists()


def test_the_command_that_was_replaced_does_not_take_the_edge_away(
    server: sshd.SshServer, edge: Edge, tmp_path: Path
) -> None:
    # As Pulumi does for `--replace`, and for an edge.host that is another name of the machine.
    with Servers(SERVER_PORT).running(ADDRESS):
        text = edge.text({"web-0": ADDRESS})
        old, new = (reach(server, edge, tmp_path, "apply", text) for _ in range(2))
        assert (old.returncode, new.returncode) == (0, 0), new.stderr
        done = reach(server, edge, tmp_path, "remove", printed=old.stdout)
        assert (done.returncode, done.stderr) == (0, "")
        assert "was applied again since, so it stays" in done.stdout
        assert edge.get() == (200, ADDRESS)
        done = reach(server, edge, tmp_path, "remove", printed=new.stdout)
        assert done.returncode == 0, done.stderr
    assert not edge.instance.folder.exists()


def test_an_update_that_was_not_recorded_is_taken_away_too(
    server: sshd.SshServer, edge: Edge, tmp_path: Path
) -> None:
    with Servers(SERVER_PORT).running(ADDRESS):
        text = edge.text({"web-0": ADDRESS})
        made = reach(server, edge, tmp_path, "apply", text, printed="")
        again = reach(server, edge, tmp_path, "apply", text, printed=made.stdout)
        assert (made.returncode, again.returncode) == (0, 0), again.stderr
        done = reach(server, edge, tmp_path, "remove", printed=made.stdout)
        assert (done.returncode, done.stderr) == (0, "")
    assert not edge.instance.folder.exists()


@pytest.mark.parametrize("action", ["apply", "remove"])
def test_another_host_key_is_told_and_nothing_is_touched(
    server: sshd.SshServer, edge: Edge, tmp_path: Path, action: str
) -> None:
    before = server.logins
    wrong = dataclasses.replace(server, host_key=server.other_key)
    done = reach(wrong, edge, tmp_path, action, edge.text({}))
    assert done.returncode == 1
    assert done.stderr == (
        "edge.host_key: 127.0.0.1 has a different host key, so nothing was changed there; if it was"
        " reinstalled, get its new key with `ssh-keyscan 127.0.0.1`\n"
    )
    assert server.logins == before
    assert not edge.instance.folder.exists()


def test_a_key_that_may_not_enter_is_told(
    server: sshd.SshServer, edge: Edge, tmp_path: Path
) -> None:
    agent = {key: value for key, value in server.agent.items() if not key.startswith("SSH_")}
    done = reach(dataclasses.replace(server, agent=agent), edge, tmp_path, "apply", edge.text({}))
    assert done.returncode == 1
    assert done.stderr.startswith("edge.user: 127.0.0.1 refuses this machine's SSH keys: ")


def test_a_machine_that_is_gone_has_nothing_to_take_away(
    server: sshd.SshServer, edge: Edge, tmp_path: Path
) -> None:
    gone = dataclasses.replace(server, port=1)
    done = reach(gone, edge, tmp_path, "apply", edge.text({}))
    assert done.returncode == 1
    assert done.stderr.startswith("edge.host: 127.0.0.1 does not answer over SSH: ")
    assert "Connection refused" in done.stderr
    done = reach(gone, edge, tmp_path, "remove")
    assert done.returncode == 0
    assert "its edge is left as it is, if it still exists" in done.stderr
