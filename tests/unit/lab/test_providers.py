"""What the handlers do without a hypervisor or a Docker: commands for real, documents as text."""

import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from lab.providers import package
from lab.providers.changes import difference
from lab.providers.command import LocalCommand, Shell
from lab.providers.docker_container import DockerContainer, _config
from lab.providers.docker_host import DockerHost
from lab.providers.handler import Call, Resource
from lab.providers.libvirt_domain import LibvirtDomain, _document
from lab.providers.libvirt_network import _document as network_document
from lab.providers.provider_errors import ProviderError, ProviderUnreachable, Refused
from lab.providers.schema import Schema
from lab.providers.virsh_client import Virsh


def becomes(schema: Schema, old: dict[str, Any], new: dict[str, Any]) -> str:
    """The answer for the engine: same, update, replace, or delete before replace."""
    answer = difference(schema, old, new, named=False)
    if answer.deleteBeforeReplace:
        return "delete first"
    if answer.replaces:
        return "replace"
    return "update" if answer.diffs else "same"


def call(inputs: dict[str, Any], log: list[str] | None = None, **options: Any) -> Call:
    lines = log if log is not None else []
    return Call(name="c", inputs=inputs, say=lines.append, **options)


def command(outputs: dict[str, str]) -> Resource:
    return Resource(id="c", inputs={}, outputs=outputs)


def test_create_runs_the_script_and_keeps_what_it_prints() -> None:
    lines: list[str] = []
    inputs = {
        "create": 'read line; echo "$line $A"; echo oops >&2',
        "stdin": "hello\n",
        "environment": {"A": "there"},
    }
    made = LocalCommand().create(Shell(), call(inputs, lines))
    assert made.outputs == {"stdout": "hello there", "stderr": "oops"}
    assert sorted(lines) == ["hello there", "oops"]


def test_what_is_printed_in_pieces_is_said_by_the_line() -> None:
    lines: list[str] = []
    script = "printf one; sleep 0.1; printf two; echo; echo; sleep 0.1; printf end"
    made = LocalCommand().create(Shell(), call({"create": script}, lines))
    assert made.outputs["stdout"] == "onetwo\n\nend"
    assert lines == ["onetwo", "", "end"]


def test_logging_can_be_turned_off() -> None:
    lines: list[str] = []
    LocalCommand().create(Shell(), call({"create": "echo x", "logging": "none"}, lines))
    assert lines == []


def test_update_runs_update_or_else_create_with_the_previous_output() -> None:
    old = command({"stdout": "before", "stderr": ""})
    script = 'echo "was $PULUMI_COMMAND_STDOUT"'
    assert LocalCommand().update(Shell(), call({"create": script}), old)["stdout"] == "was before"
    both = {"create": "false", "update": script}
    assert LocalCommand().update(Shell(), call(both), old)["stdout"] == "was before"
    without = {"create": script, "addPreviousOutputInEnv": False}
    assert LocalCommand().update(Shell(), call(without), old)["stdout"] == "was "


def test_delete_without_a_script_does_nothing() -> None:
    LocalCommand().delete(Shell(), call({"create": "false"}), command({}))


def test_a_failing_script_shows_its_own_words() -> None:
    with pytest.raises(ProviderError, match=r"exit status 7: running .*:\nno such luck"):
        LocalCommand().create(Shell(), call({"create": "echo no such luck >&2; exit 7"}))


def test_a_script_that_does_not_end_is_stopped_with_its_children(tmp_path: Path) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/pid; wait"
    with pytest.raises(ProviderError, match="stopped at its time limit of 1 s"):
        LocalCommand().create(Shell(), call({"create": script}, timeout=0.5 + 0.2))
    assert ended(int((tmp_path / "pid").read_text()))


def ended(pid: int) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


ORPHAN = """
import sys
from lab.providers.command import LocalCommand, Shell
from lab.providers.handler import Call
folder = sys.argv[1]
script = f"sleep 60 & echo $! > {folder}/new; mv {folder}/new {folder}/pid; wait"
LocalCommand().create(Shell(), Call(name="c", inputs={"create": script}, say=print))
"""


def test_a_script_ends_with_the_plugin_when_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen((sys.executable, "-c", ORPHAN, str(tmp_path))) as plugin:
        deadline = time.monotonic() + 60
        while not (tmp_path / "pid").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(plugin.pid, signal.SIGKILL)
    assert ended(int((tmp_path / "pid").read_text()))


def test_a_trigger_replaces_a_command_and_anything_else_updates_it() -> None:
    def op(**inputs: Any) -> str:
        return becomes(LocalCommand.schema, {"create": "a", "triggers": ["1"]}, inputs)

    assert op(create="a", triggers=["2"]) == "replace"
    assert op(create="a", triggers=["1", "2"]) == "replace"
    assert op(create="b", triggers=["1"]) == "update"
    assert op(create="a", triggers=["1"], delete="x") == "update"


@pytest.mark.parametrize(
    ("token", "inputs", "path"),
    [
        ("libvirt:index/domain:Domain", {"networkInterfaces": [{"waitForLease": True}]}, "wait"),
        ("libvirt:index/domain:Domain", {"xml": {"xslt": "x"}}, "xml.xslt"),
        ("libvirt:index/volume:Volume", {"pool": "p", "baseVolumeName": "x"}, "baseVolumeName"),
        ("docker:index/container:Container", {"image": "i", "gpus": "all"}, "gpus"),
        ("command:local:Command", {"assetPaths": ["*"]}, "assetPaths"),
    ],
)
def test_real_types_refuse_what_is_not_implemented(
    token: str, inputs: dict[str, Any], path: str
) -> None:
    with pytest.raises(Refused, match=path):
        package(token.partition(":")[0]).types[token].schema.check(inputs)


def domain_op(old: dict[str, Any], new: dict[str, Any]) -> str:
    return becomes(LibvirtDomain.schema, old, new)


def test_another_size_of_a_domain_is_another_domain() -> None:
    assert domain_op({"memory": 1024}, {"memory": 2048}) == "replace"
    assert domain_op({"vcpu": 1}, {"vcpu": 2}) == "replace"


def test_a_domain_that_is_off_is_started_by_an_update() -> None:
    assert domain_op({"memory": 1024, "running": False}, {"memory": 1024}) == "update"


def test_another_disk_or_network_is_an_update_that_does_nothing_as_with_the_provider() -> None:
    disks = [{"disks": [{"volumeId": volume}]} for volume in ("/a", "/b")]
    assert domain_op(*disks) == "update"
    assert domain_op(disks[0], {"disks": []}) == "replace"
    networks = [{"networkInterfaces": [{"networkId": network}]} for network in ("a", "b")]
    assert domain_op(*networks) == "update"


class FakeVirsh(Virsh):
    """Answers from a table."""

    answers: dict[str, str]

    def __call__(self, *arguments: str, stdin: str | None = None, limit: float = 0) -> str:
        del stdin, limit
        return self.answers[arguments[0]]


def test_a_domain_is_written_as_the_provider_does() -> None:
    virsh = FakeVirsh("test:///default")
    virsh.answers = {
        "vol-dumpxml": (
            "<volume><name>disk-1</name><target><format type='qcow2'/></target></volume>"
        ),
        "vol-pool": "pool-1\n",
        "net-name": "net-1\n",
    }
    document = _document(
        virsh,
        {
            "name": "web-0-1234567",
            "type": "qemu",
            "vcpu": 1,
            "memory": 1024,
            "cpu": {"mode": "maximum"},
            "disks": [{"volumeId": "/pool/disk-1"}, {"volumeId": "/pool/disk-1"}],
            "networkInterfaces": [{"networkId": "u-u-i-d"}],
            "consoles": [{"type": "pty", "targetPort": "0", "targetType": "serial"}],
        },
    )
    assert document.get("type") == "qemu"
    assert document.findtext("memory") == "1024"
    sources = [dict(each.attrib) for each in document.iter("source")]
    assert sources == [
        {"pool": "pool-1", "volume": "disk-1"},
        {"pool": "pool-1", "volume": "disk-1"},
        {"network": "net-1"},
    ]
    targets = [dict(each.attrib) for each in document.iterfind("devices/disk/target")]
    assert targets == [{"dev": "vda", "bus": "virtio"}, {"dev": "vdb", "bus": "virtio"}]
    assert document.find("devices/console/target").attrib == {"port": "0", "type": "serial"}  # type: ignore[union-attr]


def test_a_network_serves_all_addresses_but_its_own() -> None:
    inputs = {"name": "n", "addresses": ["10.90.0.0/24"], "dns": {"enabled": True}}
    document = network_document(inputs)
    assert ET.tostring(document.find("ip"), encoding="unicode") == (  # type: ignore[arg-type]
        '<ip family="ipv4" address="10.90.0.1" prefix="24">'
        '<dhcp><range start="10.90.0.2" end="10.90.0.254" /></dhcp></ip>'
    )


def test_a_container_is_written_as_the_provider_does() -> None:
    config = _config(
        {
            "image": "sha256:1",
            "name": "x",
            "hostname": "web",
            "envs": ["A=1"],
            "labels": [{"label": "l", "value": "v"}],
            "ports": [{"internal": 80, "external": 8080}],
            "mounts": [{"type": "bind", "source": "/s", "target": "/t", "readOnly": True}],
            "volumes": [{"hostPath": "/h", "containerPath": "/c", "readOnly": True}],
            "restart": "unless-stopped",
            "healthcheck": {"tests": ["CMD", "true"], "interval": "1m30s", "retries": 3},
            "memory": 64,
        }
    )
    host = config["HostConfig"]
    assert config["ExposedPorts"] == {"80/tcp": {}}
    assert host["PortBindings"] == {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}  # noqa: S104
    assert config["Labels"] == {"l": "v"}
    assert host["Mounts"] == [{"Type": "bind", "Source": "/s", "Target": "/t", "ReadOnly": True}]
    assert host["Binds"] == ["/h:/c:ro"]
    assert host["RestartPolicy"] == {"Name": "unless-stopped", "MaximumRetryCount": 0}
    assert config["Healthcheck"]["Interval"] == 90 * 10**9
    assert host["Memory"] == 64 * 1024 * 1024


def test_a_container_asks_to_be_deleted_before_its_successor_is_created() -> None:
    assert becomes(DockerContainer.schema, {"image": "a"}, {"image": "b"}) == "delete first"


def test_a_container_that_stopped_is_started_and_one_that_is_gone_made_again() -> None:
    class Host(DockerHost):
        answer: Any = None

        def ask(self, question: Any) -> Any:
            del question
            return self.answer

    host, known = Host({"host": "ssh://x"}), Resource(id="1", inputs={"image": "a"}, outputs={})
    host.answer = {"State": {"Status": "running"}}
    assert DockerContainer().read(host, known) is known
    host.answer = None
    assert DockerContainer().read(host, known) is None
    host.answer = {"State": {"Status": "exited"}}
    stopped = DockerContainer().read(host, known)
    assert stopped is not None
    assert becomes(DockerContainer.schema, stopped.inputs, known.inputs) == "update"
    assert DockerContainer().read(host, stopped) is stopped, "and no second time"


def test_the_account_of_a_registry_is_found_by_the_images_name() -> None:
    host = DockerHost(
        {
            "host": "ssh://x",
            "registryAuth": '[{"address": "https://registry.example:5000",'
            ' "username": "u", "password": "p"}]',
        }
    )
    account = {"username": "u", "password": "p"}
    assert host.registry_auth("registry.example:5000/a/b:1") == account
    assert host.registry_auth("b:1") is None


def test_a_docker_host_that_does_not_answer_is_told_as_such(tmp_path: Path) -> None:
    host = DockerHost({"host": "ssh://nobody@127.0.0.1:1", "sshOpts": f'["-F", "{tmp_path}/none"]'})
    (tmp_path / "none").touch()
    with pytest.raises(ProviderUnreachable, match=r"ssh://nobody@127\.0\.0\.1:1: ssh: "):
        host.ask(lambda client: client.api.containers())
    host.close()
