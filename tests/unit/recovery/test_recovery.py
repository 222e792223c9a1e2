"""A stack after an update that was cut short, with stand-ins for pulumi, virsh and ssh."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from recovery import notes, processes
from recovery.__main__ import main
from recovery.things import RemoveError, Unreachable, thing
from remote import mark
from tests.unit.lab.test_providers import ended

URN = "urn:pulumi:prod::gatehouse::"
LIBVIRT: dict[str, Any] = {
    "urn": f"{URN}pulumi:providers:libvirt::farm-libvirt",
    "id": "1",
    "type": "pulumi:providers:libvirt",
    "inputs": {"uri": "qemu:///system"},
}
DOCKER: dict[str, Any] = {
    "urn": f"{URN}pulumi:providers:docker::web-0-host-docker",
    "id": "2",
    "type": "pulumi:providers:docker",
    "inputs": {"host": "ssh://gatehouse@10.90.0.7", "sshOpts": '["-F","none","-i","the key"]'},
}
PULUMI = """#!/bin/sh
echo "$PWD: $*" >>"$STATE/calls"
case "$1 $2" in
  "stack export") case "$3" in
      --file)
        ! grep -q refresh "$STATE/calls" || ! [ -e "$STATE/refreshed.json" ] ||
          cp "$STATE/refreshed.json" "$STATE/export.json"
        cp "$STATE/export.json" "$4" ;;
      *) [ "$PULUMI_CONFIG_PASSPHRASE" != wrong ] || exit 1 ;;
    esac ;;
  "stack import") cp "$4" "$STATE/imported.json" ;;
esac
[ "$1" != "$(cat "$STATE/fail" 2>/dev/null)" ]
"""
VIRSH = """#!/bin/sh
shift 3
echo "virsh $*" >>"$STATE/calls"
case "$1" in
  domuuid) [ -e "$STATE/there" ] || { echo "error: failed to get domain '$2'" >&2; exit 1; } ;;
  vol-key) [ -e "$STATE/there" ] || { echo "error: failed to get vol '$2'" >&2; exit 1; } ;;
esac
"""
SSH = """#!/bin/sh
for last; do :; done
echo "ssh $last" >>"$STATE/calls"
[ ! -e "$STATE/gone" ] || { echo "Connection timed out" >&2; exit 255; }
case "$last" in
  *inspect*) [ -e "$STATE/there" ] || { echo "Error: No such container: x" >&2; exit 1; } ;;
esac
"""


def creating(type_token: str, name: str, provider: dict[str, Any], **inputs: Any) -> dict[str, Any]:
    return {
        "type": "creating",
        "resource": {
            "urn": f"{URN}{type_token}::{name}",
            "type": type_token,
            "provider": f"{provider['urn']}::{provider['id']}",
            "inputs": {"name": f"{name}-1a2b3c4"} | inputs,
        },
    }


DOMAIN = creating("libvirt:index/domain:Domain", "web-1-domain", LIBVIRT)
VOLUME = creating("libvirt:index/volume:Volume", "web-1-disk", LIBVIRT, pool="farm-pool-0000001")
CONTAINER = creating("docker:index/container:Container", "hello-web-0-0", DOCKER)
COMMAND = creating("command:local:Command", "web-1-boot", LIBVIRT)
UPDATING = {**COMMAND, "type": "updating"}


class Stack:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = folder / "project"
        self.project.mkdir()

    def has(
        self,
        *operations: dict[str, Any],
        resources: tuple[dict[str, Any], ...] = (),
        secrets: str = "cloud",
    ) -> None:
        deployment = {
            "secrets_providers": {"type": secrets},
            "resources": [LIBVIRT, DOCKER, *resources],
            "pending_operations": list(operations),
        }
        text = json.dumps({"version": 3, "deployment": deployment})
        (self.folder / "export.json").write_text(text)

    def recover(self, *options: str) -> int:
        return main(["--stack", "prod", "--project", str(self.project), *options])

    @property
    def calls(self) -> list[str]:
        place = f"{self.project}: "
        lines = (self.folder / "calls").read_text().splitlines()
        return [line.removeprefix(place).removesuffix(" --stack prod") for line in lines]

    @property
    def changes(self) -> list[str]:
        look = ("stack export", "virsh domuuid", "virsh vol-key")
        return [
            call.partition(" --file")[0]
            for call in self.calls
            if not call.startswith(look) and "inspect" not in call
        ]


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


UP = ["refresh --yes --skip-preview --skip-pending-creates", "up --yes --skip-preview"]


def test_what_was_being_made_is_removed_and_the_rest_done_again(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.has(DOMAIN, VOLUME, CONTAINER, COMMAND, UPDATING)
    (stack.folder / "there").touch()
    assert stack.recover("--yes") == 0
    assert stack.changes == [
        "cancel --yes",
        "virsh destroy web-1-domain-1a2b3c4",
        "virsh undefine web-1-domain-1a2b3c4 --nvram --managed-save --snapshots-metadata"
        " --checkpoints-metadata",
        "virsh vol-delete web-1-disk-1a2b3c4 --pool farm-pool-0000001",
        "ssh docker container rm --force --volumes hello-web-0-0-1a2b3c4",
        "stack import",
        *UP,
    ]
    shown = capsys.readouterr().out
    assert shown.splitlines()[:5] == [
        "Steps:",
        "  pulumi cancel: remove the lock of the interrupted update",
        "  REMOVE domain web-1-domain-1a2b3c4 on qemu:///system, left by creating"
        " web-1-domain (libvirt:index/domain:Domain)",
        "  REMOVE volume web-1-disk-1a2b3c4 on qemu:///system, left by creating"
        " web-1-disk (libvirt:index/volume:Volume)",
        "  REMOVE container hello-web-0-0-1a2b3c4 on ssh://gatehouse@10.90.0.7, left by"
        " creating hello-web-0-0 (docker:index/container:Container)",
    ]


def test_nothing_is_removed_that_is_not_there(stack: Stack) -> None:
    stack.has(DOMAIN, VOLUME, CONTAINER)
    assert stack.recover("--yes") == 0
    assert stack.changes == ["cancel --yes", "stack import", *UP]


def test_nothing_is_removed_that_the_state_has(stack: Stack) -> None:
    known = {**DOMAIN["resource"], "id": "uuid"}
    stack.has(DOMAIN, resources=(known,))
    (stack.folder / "there").touch()
    assert stack.recover("--yes") == 0
    assert not [call for call in stack.calls if "undefine" in call]


def test_what_cannot_be_asked_stays_noted(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    stack.has(DOMAIN, CONTAINER)
    (stack.folder / "gone").touch()
    assert stack.recover("--yes") == 0
    assert stack.changes == ["cancel --yes", *UP], "or Pulumi would drop the notes"
    assert (
        "  keep the pending operations: what creating hello-web-0-0"
        " (docker:index/container:Container) left is unclear:"
        " ssh://gatehouse@10.90.0.7: Connection timed out"
    ) in capsys.readouterr().out


def command(name: str, **more: Any) -> dict[str, Any]:
    """Return a command as a state has it."""
    kind = "command:local:Command"
    properties = {"create": f"make {name}", "environment": {"A": "b"}} | more
    return {
        "urn": f"{URN}{kind}::{name}",
        "type": kind,
        "id": name,
        "inputs": properties,
        "outputs": {**properties, "stdout": "printed"},
    }


def interrupted(kind: str, resource: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "resource": resource}


@pytest.mark.parametrize("kind", ["updating", "deleting", "creating"])
def test_a_command_that_may_have_taken_effect_is_run_again(
    stack: Stack, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    edge, other = command("edge-haproxy"), command("web-0-agent")
    stack.has(interrupted(kind, edge), resources=(edge, other))
    assert stack.recover("--yes") == 0
    assert f"run again: {kind} edge-haproxy" in capsys.readouterr().out
    imported = json.loads((stack.folder / "imported.json").read_text())["deployment"]["resources"]
    marked = {"A": "b", "GATEHOUSE_RECOVERED": "1"}
    for properties in ("inputs", "outputs"):
        assert imported[-2][properties] == edge[properties] | {"environment": marked}
    assert imported[-1] == other, "no other one is"


PROVIDER: dict[str, Any] = {
    "urn": f"{URN}pulumi:providers:command::default",
    "id": "3",
    "type": "pulumi:providers:command",
}
HOST: dict[str, Any] = {"urn": f"{URN}host", "type": "gatehouse:host:ContainerHost"}
UNDO = 'forbid web-0-firewall --printed "$PULUMI_COMMAND_STDOUT"'


def new_command(delete: str = UNDO, **more: Any) -> dict[str, Any]:
    """Return a command as a pending creation has it."""
    made = command("web-0-firewall", delete=delete)
    del made["id"], made["outputs"]
    provider = f"{PROVIDER['urn']}::3"
    return {**made, "parent": HOST["urn"], "provider": provider, "dependencies": []} | more


@pytest.mark.parametrize(
    ("delete", "printed"),
    [(UNDO, mark.ANY), ("exec python3 -m controller.dhcp_reservation remove", "")],
)
def test_a_new_command_that_may_have_taken_effect_can_be_undone(
    stack: Stack, capsys: pytest.CaptureFixture[str], delete: str, printed: str
) -> None:
    new = new_command(delete)
    stack.has(interrupted("creating", new), resources=(PROVIDER, HOST))
    assert stack.recover("--yes") == 0
    said = "run again, or undo if the config does not have it any more: creating web-0-firewall"
    assert said in capsys.readouterr().out
    imported = json.loads((stack.folder / "imported.json").read_text())["deployment"]["resources"]
    assert imported[-1]["urn"] == new["urn"]
    assert imported[-1]["id"]
    assert imported[-1]["outputs"]["stdout"] == printed
    for properties in ("inputs", "outputs"):
        assert imported[-1][properties]["delete"] == delete
        assert imported[-1][properties]["environment"]["GATEHOUSE_RECOVERED"]


@pytest.mark.parametrize(
    "new",
    [
        new_command("exec python3 -m controller.boot shutdown"),
        new_command(parent=f"{URN}gone"),
        new_command(deletedWith=f"{URN}gone"),
        new_command(dependencies=[f"{URN}gone"]),
        new_command(propertyDependencies={"create": [f"{URN}gone"]}),
        new_command(provider=f"{PROVIDER['urn']}::4"),
    ],
)
def test_a_new_command_that_cannot_be_undone_is_not_said_to_run_again(
    stack: Stack, capsys: pytest.CaptureFixture[str], new: dict[str, Any]
) -> None:
    stack.has(interrupted("creating", new), resources=(PROVIDER, HOST))
    assert stack.recover("--yes") == 0
    shown = capsys.readouterr().out
    assert "run again" not in shown
    assert "repeat: creating web-0-firewall" in shown
    assert "which nothing undoes if the config does not have it" in shown
    imported = json.loads((stack.folder / "imported.json").read_text())["deployment"]["resources"]
    assert imported[-1] == HOST, "or the state could not be read any more"


def protected_volume(kind: str, name: str, *, protect: bool = True) -> dict[str, Any]:
    """Return a disk or volume as a state has it."""
    resource = {"urn": f"{URN}{kind}::{name}", "type": kind, "id": name, "protect": protect}
    return {**resource, "outputs": {"name": f"{name}-1a2b3c4"}}


@pytest.mark.parametrize("kind", ["libvirt:index/volume:Volume", "docker:index/volume:Volume"])
def test_data_that_is_not_found_ends_it_before_the_update(
    stack: Stack, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    kept, gone = protected_volume(kind, "kept"), protected_volume(kind, "gone")
    stack.has(resources=(kept,))
    (stack.folder / "export.json").rename(stack.folder / "refreshed.json")
    stack.has(resources=(kept, gone))
    assert stack.recover("--yes") == 1
    assert "which hold data: gone-1a2b3c4. The update" in capsys.readouterr().err
    assert stack.changes == ["cancel --yes", UP[0], "stack import"]
    imported = json.loads((stack.folder / "imported.json").read_text())["deployment"]["resources"]
    assert imported[2:] == [kept, gone], "the state from before"


def test_data_that_is_not_found_does_not_cost_the_notes(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = protected_volume("docker:index/volume:Volume", "gone")
    (stack.folder / "gone").touch()
    stack.has(CONTAINER)
    (stack.folder / "export.json").rename(stack.folder / "refreshed.json")
    stack.has(CONTAINER, resources=(gone,))
    assert stack.recover("--yes") == 1
    assert "the state does not have them any more" in capsys.readouterr().err
    assert stack.changes == ["cancel --yes", UP[0]]


def test_what_holds_no_data_may_be_gone(stack: Stack) -> None:
    gone = protected_volume("docker:index/volume:Volume", "gone", protect=False)
    stack.has()
    (stack.folder / "export.json").rename(stack.folder / "refreshed.json")
    stack.has(resources=(gone,))
    assert stack.recover("--yes") == 0
    assert stack.changes == ["cancel --yes", *UP]


def test_a_command_with_a_secret_environment_is_run_again() -> None:
    hidden = {"4dabf18193072939515e22adb298388d": "1b47", "ciphertext": "v1:x"}
    edge = command("edge-haproxy", environment=hidden)
    deployment = {"resources": [edge], "pending_operations": [interrupted("updating", edge)]}
    notes.run_again(deployment)
    assert edge["inputs"]["environment"] == hidden
    assert edge["inputs"]["create"] != "make edge-haproxy"


def test_what_is_not_run_again_is_said(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    edge = command("edge-haproxy")
    stack.has(interrupted("updating", edge), CONTAINER, resources=(edge,))
    (stack.folder / "gone").touch()
    assert stack.recover("--yes") == 0
    assert f"`pulumi up --replace '{edge['urn']}'` afterwards" in capsys.readouterr().out


def test_without_notes_the_state_is_left_alone(stack: Stack) -> None:
    stack.has()
    assert stack.recover("--yes") == 0
    assert stack.changes == ["cancel --yes", *UP]


def test_a_refresh_that_fails_does_not_keep_the_update(stack: Stack) -> None:
    stack.has()
    (stack.folder / "fail").write_text("refresh")
    assert stack.recover("--yes") == 0
    assert stack.changes[-1] == UP[-1]


@pytest.mark.parametrize(
    ("answer", "done"), [("y", True), ("n", False), ("", False), (None, False)]
)
def test_it_asks_first(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, answer: str | None, done: bool
) -> None:
    def asked(_: str) -> str:
        if answer is None:
            raise EOFError
        return answer

    monkeypatch.setattr("builtins.input", asked)
    stack.has(DOMAIN)
    (stack.folder / "there").touch()
    assert stack.recover() == (0 if done else 1)
    assert (stack.changes[-1:] == ["up"]) == done, "which asks too, in view of its preview"
    assert bool(stack.changes) == done


@pytest.mark.parametrize(
    ("passphrase", "said"),
    [
        (None, "set PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE"),
        ("wrong", "the stack's secrets cannot be decrypted"),
        ("right", ""),
    ],
)
def test_without_the_passphrase_nothing_is_changed(
    stack: Stack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    passphrase: str | None,
    said: str,
) -> None:
    stack.has(DOMAIN, secrets="passphrase")
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE", raising=False)
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE_FILE", raising=False)
    if passphrase is not None:
        monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", passphrase)
    assert stack.recover("--yes") == (1 if said else 0)
    if said:
        assert said in capsys.readouterr().err
        assert stack.changes == []


def test_an_export_that_fails_ends_it(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    (stack.folder / "fail").write_text("stack")
    stack.has()
    assert stack.recover("--yes") == 1
    assert "`pulumi stack export` failed" in capsys.readouterr().err
    assert stack.changes == []


def running(stack: Stack, name: str, folder: str = ".") -> "subprocess.Popen[bytes]":
    """Start a program called so in the project's folder, or in one below it."""
    program = shutil.copy(str(shutil.which("sleep")), stack.folder / name)
    (stack.project / folder).mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen((program, "60"), cwd=stack.project / folder)
    deadline = time.monotonic() + 60
    # Just after it is started, a process has its parent's name for a moment.
    while processes.name(process.pid) != name[:15] and time.monotonic() < deadline:
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("folder", [".", "docs", "components/edge"])
def test_an_update_that_is_under_way_is_left_alone(
    stack: Stack, capsys: pytest.CaptureFixture[str], folder: str
) -> None:
    stack.has()
    with running(stack, "pulumi", folder) as other:
        assert stack.recover("--yes") == 1
        assert f"is still running here: {stack.folder}/pulumi 60 (pid {other.pid})" in (
            capsys.readouterr().err
        )
        other.kill()


@pytest.mark.parametrize("folder", ["../project-2", "examples/other", "examples/other/docs"])
def test_the_update_of_another_project_is_none_of_ours(stack: Stack, folder: str) -> None:
    (stack.project / "Pulumi.yaml").touch()
    (stack.project / "examples/other").mkdir(parents=True)
    (stack.project / "examples/other/Pulumi.yaml").touch()
    stack.has()
    with running(stack, "pulumi", folder) as other:
        assert stack.recover("--yes") == 0
        assert other.poll() is None
        other.kill()


def test_plugins_of_the_killed_one_are_ended(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.has()
    with running(stack, "pulumi-resource-docker") as plugin:
        assert stack.recover("--yes") == 0
        assert plugin.wait() == -signal.SIGKILL
        assert f"  end {stack.folder}/pulumi-resource-docker 60 (pid {plugin.pid})" in (
            capsys.readouterr().out
        )


def test_ssh_is_given_the_providers_options(stack: Stack) -> None:
    found = thing(CONTAINER["resource"]["type"], {"name": "a b"}, DOCKER["inputs"])
    assert found is not None
    assert found.command[:5] == ("ssh", "-F", "none", "-i", "the key")
    assert found.command[-5:] == ("gatehouse", "-p", "22", "--", "10.90.0.7")
    (stack.folder / "there").touch()
    assert found.exists()
    assert stack.calls == ["ssh docker container inspect 'a b'"]


@pytest.mark.parametrize(
    "said",
    [
        "bash: line 1: docker: command not found",
        "Warning: Identity file k not accessible: No such file or directory.\nPermission denied",
        "Cannot connect to the Docker daemon",
    ],
)
def test_no_answer_is_not_taken_for_a_no(stack: Stack, said: str) -> None:
    (stack.folder / "bin" / "ssh").write_text(f"#!/bin/sh\necho '{said}' >&2; exit 1\n")
    found = thing(CONTAINER["resource"]["type"], {"name": "a"}, DOCKER["inputs"])
    assert found is not None
    with pytest.raises(Unreachable):
        found.exists()


@pytest.mark.parametrize(
    "said",
    [
        "Error: No such container: a",
        "Error response from daemon: get a: no such volume",
        "Error response from daemon: network a not found",
    ],
)
def test_a_no_is_taken_for_one(stack: Stack, said: str) -> None:
    (stack.folder / "bin" / "ssh").write_text(f"#!/bin/sh\necho '{said}' >&2; exit 1\n")
    found = thing(CONTAINER["resource"]["type"], {"name": "a"}, DOCKER["inputs"])
    assert found is not None
    assert not found.exists()


def test_what_cannot_be_removed_is_told(stack: Stack) -> None:
    (stack.folder / "bin" / "virsh").write_text("#!/bin/sh\necho error: in use >&2; exit 1\n")
    found = thing(VOLUME["resource"]["type"], VOLUME["resource"]["inputs"], LIBVIRT["inputs"])
    assert found is not None
    with pytest.raises(RemoveError, match=r"volume web-1-disk-1a2b3c4 on .* removed: in use"):
        found.remove()


def test_secrets_that_are_not_shown_are_no_names() -> None:
    hidden = {"4dabf18193072939515e22adb298388d": "1b47", "ciphertext": "v1:x"}
    volume = creating("docker:index/volume:Volume", "v", DOCKER)
    volume["resource"]["inputs"]["name"] = hidden
    (note,) = notes.notes({"resources": [DOCKER], "pending_operations": [volume]})
    assert note.unknown == "the pending operation of a volume of Docker has no name"


def test_what_a_provider_that_is_gone_managed_is_gone_too() -> None:
    (note,) = notes.notes({"resources": [], "pending_operations": [DOMAIN]})
    assert (note.left, note.unknown) == (None, "")


def test_a_tree_of_processes_is_killed_to_the_last(tmp_path: Path) -> None:
    script = f"setsid sleep 60 & echo $! > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; wait"
    with subprocess.Popen(("sh", "-c", script)) as process:
        while not (tmp_path / "pid").exists() and process.poll() is None:
            time.sleep(0.01)
        processes.kill_tree(process.pid)
        assert process.wait() == -signal.SIGKILL
    assert ended(int((tmp_path / "pid").read_text()))


def test_what_a_plugin_has_left_in_its_group_goes_too(tmp_path: Path) -> None:
    leave = 'sleep 60 & echo $! >"$0/new"; mv "$0/new" "$0/pid"'
    script = f"sh -c '{leave}' {tmp_path}; exec sleep 60"
    with subprocess.Popen(("sh", "-c", script), process_group=0) as process:
        while not (tmp_path / "pid").exists() and process.poll() is None:
            time.sleep(0.01)
        processes.kill_tree(process.pid)
        assert process.wait() == -signal.SIGKILL
    assert ended(int((tmp_path / "pid").read_text()))
