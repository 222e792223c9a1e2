"""A stack after an update that was cut short is brought back."""

import shutil
import signal
import subprocess
import time

import pytest

from recovery import processes
from tests.support.recovery import (
    COMMAND,
    CONTAINER,
    DOMAIN,
    UP,
    UPDATING,
    VOLUME,
    Stack,
    command,
    interrupted,
)


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
