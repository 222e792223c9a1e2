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

from lab.engine.errors import EngineError, Refused, Unreachable
from lab.engine.handler import Call
from lab.engine.model import Resource, copy_of
from lab.engine.monitor import seconds
from lab.engine.plan import Op, decide
from lab.engine.providers import CATALOGUE
from lab.engine.providers.command import LocalCommand, Shell
from lab.engine.providers.docker_container import Container, _config
from lab.engine.providers.docker_host import DockerHost
from lab.engine.providers.libvirt_domain import Domain, _document
from lab.engine.providers.libvirt_network import _document as network_document
from lab.engine.providers.virsh import Virsh
from tests.unit.engine_fakes import goal, resource

LOCAL = "command:local:Command"


def call(inputs: dict[str, Any], said: list[str] | None = None, **options: Any) -> Call:
    lines = said if said is not None else []
    return Call(name="c", inputs=inputs, say=lines.append, **options)


def command(outputs: dict[str, str]) -> Resource:
    return copy_of(resource("c", type=LOCAL), outputs=outputs)


def test_create_runs_the_script_and_keeps_what_it_prints() -> None:
    said: list[str] = []
    inputs = {
        "create": 'read line; echo "$line $A"; echo oops >&2',
        "stdin": "hello\n",
        "environment": {"A": "there"},
    }
    made = LocalCommand().create(Shell(), call(inputs, said))
    assert made.outputs == {"stdout": "hello there", "stderr": "oops"}
    assert sorted(said) == ["hello there", "oops"]


def test_what_is_printed_in_pieces_is_said_by_the_line() -> None:
    said: list[str] = []
    script = "printf one; sleep 0.1; printf two; echo; echo; sleep 0.1; printf end"
    made = LocalCommand().create(Shell(), call({"create": script}, said))
    assert made.outputs["stdout"] == "onetwo\n\nend"
    assert said == ["onetwo", "", "end"]


def test_logging_can_be_turned_off() -> None:
    said: list[str] = []
    LocalCommand().create(Shell(), call({"create": "echo x", "logging": "none"}, said))
    assert said == []


def test_secret_output_is_not_printed_not_even_when_it_fails() -> None:
    said: list[str] = []
    hushed = frozenset({"stdout"})
    LocalCommand().create(Shell(), call({"create": "echo key"}, said, hushed=hushed))
    assert said == []
    with pytest.raises(EngineError) as caught:
        LocalCommand().create(
            Shell(), call({"create": "cat; exit 3", "stdin": "key"}, hushed=hushed)
        )
    assert "exit status 3" in str(caught.value)
    assert "key" not in str(caught.value).splitlines()[-1]


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
    with pytest.raises(EngineError, match=r"exit status 7: running .*:\nno such luck"):
        LocalCommand().create(Shell(), call({"create": "echo no such luck >&2; exit 7"}))


def test_a_script_that_does_not_end_is_stopped_with_its_children(tmp_path: Path) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/pid; wait"
    with pytest.raises(EngineError, match="no end within 1 s"):
        LocalCommand().create(Shell(), call({"create": script}, timeout=0.5 + 0.2))
    assert ended(int((tmp_path / "pid").read_text()))


def ended(pid: int) -> bool:
    deadline = time.monotonic() + 5
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
from lab.engine.handler import Call
from lab.engine.providers.command import LocalCommand, Shell
folder = sys.argv[1]
script = f"sleep 60 & echo $! > {folder}/new; mv {folder}/new {folder}/pid; wait"
LocalCommand().create(Shell(), Call(name="c", inputs={"create": script}, say=print))
"""


def test_a_script_ends_with_the_engine_when_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen((sys.executable, "-c", ORPHAN, str(tmp_path))) as engine:
        deadline = time.monotonic() + 10
        while not (tmp_path / "pid").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(engine.pid, signal.SIGKILL)
    assert ended(int((tmp_path / "pid").read_text()))


def test_a_trigger_replaces_a_command_and_anything_else_updates_it() -> None:
    schema = LocalCommand.schema
    old = resource("c", {"create": "a", "triggers": ["1"]}, type=LOCAL)

    def op(**inputs: Any) -> Op:
        return decide(goal("c", inputs, type=LOCAL), inputs, old, schema, set()).op

    assert op(create="a", triggers=["2"]) is Op.REPLACE
    assert op(create="a", triggers=["1", "2"]) is Op.REPLACE
    assert op(create="b", triggers=["1"]) is Op.UPDATE
    assert op(create="a", triggers=["1"], delete="x") is Op.UPDATE


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
        CATALOGUE.schemas[token].check(inputs)


DOMAIN = "libvirt:index/domain:Domain"


def domain_op(old: dict[str, Any], new: dict[str, Any]) -> Op:
    there = resource("d", old, type=DOMAIN, autonamed=True)
    return decide(goal("d", new, type=DOMAIN), new, there, Domain.schema, set()).op


def test_another_size_of_a_domain_is_another_domain() -> None:
    assert domain_op({"memory": 1024}, {"memory": 2048}) is Op.REPLACE
    assert domain_op({"vcpu": 1}, {"vcpu": 2}) is Op.REPLACE


def test_a_domain_that_is_off_is_started_by_an_update() -> None:
    assert domain_op({"memory": 1024, "running": False}, {"memory": 1024}) is Op.UPDATE


def test_another_disk_or_network_is_an_update_that_does_nothing_as_with_the_provider() -> None:
    disks = [{"disks": [{"volumeId": volume}]} for volume in ("/a", "/b")]
    assert domain_op(*disks) is Op.UPDATE
    assert domain_op(disks[0], {"disks": []}) is Op.REPLACE
    networks = [{"networkInterfaces": [{"networkId": network}]} for network in ("a", "b")]
    assert domain_op(*networks) is Op.UPDATE


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


CONTAINER = "docker:index/container:Container"


def test_a_container_asks_to_be_deleted_before_its_successor_is_created() -> None:
    old = resource("c", {"image": "a"}, type=CONTAINER, autonamed=True)
    verdict = decide(goal("c", type=CONTAINER), {"image": "b"}, old, Container.schema, set())
    assert (verdict.op, verdict.delete_first) == (Op.REPLACE, True)


def test_a_container_that_stopped_is_started_and_one_that_is_gone_made_again() -> None:
    class Host(DockerHost):
        def ask(self, question: object) -> Any:
            del question
            return [{"Id": "1", "State": "running"}, {"Id": "2", "State": "exited"}]

    three = [resource(str(i), {"image": "a"}, type=CONTAINER, id=str(i)) for i in (1, 2, 3)]
    running, stopped, gone = Container().read(Host({"host": "ssh://x"}), three)
    assert running is three[0]
    assert gone is None
    assert stopped is not None
    old, new = stopped, {"image": "a"}
    verdict = decide(goal("2", new, type=CONTAINER), new, old, Container.schema, set())
    assert verdict.op is Op.UPDATE


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
    with pytest.raises(Unreachable, match=r"ssh://nobody@127\.0\.0\.1:1: ssh: "):
        host.ask(lambda client: client.api.containers())
    host.close()


@pytest.mark.parametrize(
    ("text", "expected"), [("", None), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("500ms", 0.5)]
)
def test_durations(text: str, expected: float | None) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["10", "m", "10 minutes", "1d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        seconds(text)
