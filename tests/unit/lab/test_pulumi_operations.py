"""The driver of the Pulumi CLI, on a stand-in that notes how it is called."""

import contextlib
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.lock import Lock, LockError
from lab.pulumi.cli import Cli
from lab.pulumi.config import copy_config
from lab.pulumi.errors import StackError
from lab.pulumi.lab_stack import LabStack
from lab.pulumi.operations import PulumiCli
from lab.pulumi.tools import Providers
from recovery.processes import processes_with
from recovery.things import Thing
from tests.unit.lab.test_providers import ended

CLI = """#!/bin/sh
cd "$(dirname "$(readlink -f "$0")")"
echo "$*" >> calls
case "$1 $2" in
  "stack init") mkdir -p "$FAKE_BACKEND/.pulumi/stacks/proj"
                cp state.json "$FAKE_BACKEND/.pulumi/stacks/proj/test.json" ;;
  "stack export") cat export.json ;;
  "stack import") cat > imported.json ;;
  "config set") echo "$PULUMI_CONFIG_PASSPHRASE" >> passphrases; cat >> values ;;
  "stack output") echo '{"url": "x"}' ;;
  "refresh --yes") if [ -e hang ]; then setsid sleep 60 & echo $! > plugin; wait; fi ;;
  "cancel --yes") rm -r "$FAKE_BACKEND/.pulumi/locks" ;;
esac
[ "$1" != "$(cat fail 2>/dev/null)" ]
"""


class Fake:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bin = folder / "bin"
        self.project = folder / "project"
        self.folder = folder / "state"
        self.bin.mkdir()
        self.project.mkdir()
        self.config = self.project / "Pulumi.test.yaml"
        self.config.write_text("# mine\nconfig:\n  proj:a: 1\n")
        (self.project / "Pulumi.yaml").write_text("name: proj\nruntime: python\n")
        self.export({"resources": []})
        (self.bin / "pulumi").write_text(CLI)
        (self.bin / "pulumi").chmod(0o755)
        monkeypatch.setenv("FAKE_BACKEND", str(self.folder / "backend"))
        # No process to fork plugins: there are none.
        monkeypatch.setattr("lab.pulumi.operations.resident.running", contextlib.nullcontext)
        (self.folder / "bin").mkdir(parents=True, mode=0o700)
        self.folder.chmod(0o700)
        (self.folder / "bin" / "pulumi").symlink_to(self.bin / "pulumi")
        self.cli = PulumiCli(
            stack="test",
            project=self.project,
            config_file=self.config,
            folder=self.folder,
            refresh_seconds=10,
        )

    def export(self, deployment: dict[str, Any]) -> None:
        text = json.dumps({"version": 3, "deployment": deployment})
        (self.bin / "export.json").write_text(text)
        (self.bin / "state.json").write_text(json.dumps({"checkpoint": {"latest": deployment}}))

    def calls(self) -> list[str]:
        lines = (self.bin / "calls").read_text().splitlines()
        return [line.split(" --stack")[0] for line in lines]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    return Fake(tmp_path, monkeypatch)


def test_up_makes_the_stack_once_and_refreshes_first(fake: Fake) -> None:
    assert fake.cli.up(refresh=True) == 0
    assert fake.cli.up(refresh=False) == 0
    up = "up --yes --skip-preview"
    assert fake.calls() == [
        "stack init --no-select",
        "refresh --yes --skip-preview",
        up,
        up,
    ]


def test_secrets_stay_in_a_folder_of_their_own(fake: Fake) -> None:
    fake.cli.preview()
    assert stat.S_IMODE(fake.folder.stat().st_mode) == 0o700
    passphrase = fake.folder / "passphrase"
    assert stat.S_IMODE(passphrase.stat().st_mode) == 0o600
    before = passphrase.read_text()
    fake.cli.preview()
    assert passphrase.read_text() == before
    assert len(before) > 30


def test_what_the_cli_adds_to_the_config_is_kept_in_a_copy_only(tmp_path: Path) -> None:
    source, copy = tmp_path / "a.yaml", tmp_path / "b.yaml"
    source.write_text("config:\n  a: 1  # one\n")
    copy_config(source, copy)
    assert copy.read_text() == source.read_text()
    copy.write_text(copy.read_text() + "encryptionsalt: v1:abc\nstray: 1\n")
    source.write_text("config:\n  a: 2  # two\n")
    copy_config(source, copy)
    assert copy.read_text() == "config:\n  a: 2  # two\nencryptionsalt: v1:abc\n"
    assert "salt" not in source.read_text()


SECRETS = """
config:
  gatehouse:farm: {vms: 2}  # two
  gatehouse:services:
    full:
      secret_env: {TOKEN: hush-token, a.b: hush-dotted, SHOWN: {secure: v1:x}}
      http: {basic_auth: {ann: hush-hash}}
      env: {TOKEN: shown}
  gatehouse:registries:
    "reg.example.org:5000": {username: ann, password: hush-password}
    odd: {password: 7}
"""


def test_secrets_of_the_config_are_encrypted_in_the_copy_and_never_in_it_in_plain_text(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "the user's own")
    fake.config.write_text(SECRETS)
    assert fake.cli.preview() == 0
    copy = (fake.folder / "project" / "Pulumi.test.yaml").read_text()
    assert "hush" not in copy
    config = yaml.safe_load(copy)["config"]
    assert config["gatehouse:farm"] == {"vms": 2}
    assert config["gatehouse:services"]["full"]["secret_env"] == {"SHOWN": {"secure": "v1:x"}}
    assert config["gatehouse:services"]["full"]["env"] == {"TOKEN": "shown"}
    assert config["gatehouse:registries"]["odd"] == {"password": 7}, "the program complains of it"
    put = "config set --secret --path gatehouse:"
    assert fake.calls()[1:] == [
        f"{put}services.full.secret_env.TOKEN",
        f'{put}services.full.secret_env["a.b"]',
        f"{put}services.full.http.basic_auth.ann",
        f'{put}registries["reg.example.org:5000"].password',
        "preview --diff",
    ]
    values = (fake.bin / "values").read_text().split()
    assert values == ["hush-token", "hush-dotted", "hush-hash", "hush-password"]
    assert "hush" not in (fake.bin / "calls").read_text(), "not as arguments, which all can see"
    assert (fake.bin / "passphrases").read_text().strip() == "", "the lab has its own, in a file"
    assert fake.config.read_text() == SECRETS


def test_secrets_are_encrypted_once_for_each_config(fake: Fake) -> None:
    fake.config.write_text(SECRETS)
    fake.cli.preview()
    before = len(fake.calls())
    fake.cli.preview()
    assert fake.calls()[before:] == ["preview --diff"]
    fake.config.write_text(SECRETS.replace("hush-token", "hush-other"))
    fake.cli.preview()
    assert len(fake.calls()[before + 1 :]) == 5
    assert "hush-other" in (fake.bin / "values").read_text()


def test_all_folders_of_a_stack_are_for_its_owner_only(fake: Fake) -> None:
    fake.cli.preview()
    folders = [fake.folder, *(path for path in fake.folder.iterdir() if path.is_dir())]
    assert len(folders) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}


def test_a_failed_refresh_changes_nothing(fake: Fake) -> None:
    (fake.bin / "fail").write_text("refresh")
    assert fake.cli.up(refresh=True) == 1
    assert fake.calls()[-1] == "refresh --yes --skip-preview"


def test_a_refresh_that_hangs_is_stopped_with_its_plugins_and_tried_again(
    fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    (fake.bin / "hang").touch()
    cli = PulumiCli(
        stack="test",
        project=fake.project,
        config_file=fake.config,
        folder=fake.folder,
        refresh_seconds=0.3,
    )
    with pytest.raises(StackError, match="3 refreshes did not end"):
        cli.up(refresh=True)
    assert "try 3 of 3" in capsys.readouterr().out
    assert fake.calls().count("refresh --yes --skip-preview") == 3
    assert ended(int((fake.bin / "plugin").read_text()))


def test_the_lock_of_a_killed_run_is_removed(
    fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = fake.folder / "backend" / ".pulumi" / "locks" / "organization" / "x.json"
    lock.parent.mkdir(parents=True)
    lock.touch()
    fake.cli.up(refresh=False)
    assert "its lock is removed" in capsys.readouterr().out
    assert "cancel --yes" in fake.calls()


def test_open_operations_of_a_killed_run_are_cleared(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[str] = []

    def remove(thing: Thing) -> None:
        assert Path.cwd() == fake.project
        removed.append(str(thing))

    monkeypatch.setattr(Thing, "exists", lambda _: True)
    monkeypatch.setattr(Thing, "remove", remove)
    provider = {
        "urn": "urn:pulumi:test::proj::pulumi:providers:docker::d",
        "type": "pulumi:providers:docker",
        "id": "1",
        "inputs": {"host": {"4dab": "1b47", "plaintext": '"ssh://x"'}},
    }
    urn = "urn:pulumi:test::proj::docker:index/volume:Volume::v"
    creating = {
        "type": "creating",
        "resource": {
            "urn": urn,
            "type": "docker:index/volume:Volume",
            "provider": f"{provider['urn']}::1",
            "inputs": {"name": "v-1234567"},
        },
    }
    updating = {"type": "updating", "resource": {**creating["resource"], "id": "y"}}  # type: ignore[dict-item]
    fake.export({"resources": [provider], "pending_operations": [creating, updating]})
    fake.cli.destroy()
    assert removed == ["volume of Docker v-1234567 on ssh://x"]
    assert (fake.bin / "imported.json").exists(), "which is what the CLI drops its notes at"
    assert fake.calls()[-1] == "destroy --yes --skip-preview"


def test_target_types_of_a_refresh_become_urns(fake: Fake) -> None:
    urns = [f"urn:pulumi:test::proj::{kind}::x" for kind in ("libvirt:a:A", "docker:b:B")]
    fake.export({"resources": [{"urn": urn, "type": urn.split("::")[2]} for urn in urns]})
    fake.cli.refresh(target_types=("libvirt:*",))
    assert fake.calls()[-1] == f"refresh --yes --skip-preview --target {urns[0]}"


def test_two_runs_never_both_write(fake: Fake) -> None:
    with (
        Lock(fake.folder / "lock"),
        pytest.raises(LockError, match=f"in use by pid {os.getpid()}"),
    ):
        fake.cli.up(refresh=False)


def test_outputs_of_a_stack_that_is_not_there_are_none(fake: Fake) -> None:
    assert fake.cli.outputs(show_secrets=False) == {}
    fake.cli.preview()
    assert fake.cli.outputs(show_secrets=True) == {"url": "x"}


def test_processes_are_found_by_name_and_environment() -> None:
    variable = f"GATEHOUSE_TEST_MARK={os.getpid()}"
    marked = {**os.environ, "GATEHOUSE_TEST_MARK": str(os.getpid())}
    with subprocess.Popen(("sleep", "60"), env=marked) as process:
        try:
            # Just after it is started, a process has its parent's name for a moment.
            deadline = time.monotonic() + 60
            while not (found := processes_with(variable, "sleep")) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert found == [process.pid]
            assert processes_with(variable, "pulumi") == []
        finally:
            process.kill()


@pytest.fixture
def stack(tmp_path: Path) -> LabStack:
    def enter(argv: Any, **options: Any) -> subprocess.CompletedProcess[str]:
        entered.append(tuple(argv))
        assert options["cwd"] == tmp_path
        return subprocess.CompletedProcess(argv, 0, stdout="", stderr="")

    entered.clear()
    (tmp_path / "s").mkdir()
    return LabStack(enter=enter, name="lab", project=tmp_path, folder=tmp_path / "s")


STACK = "pulumi:pulumi:Stack"
entered: list[tuple[str, ...]] = []


def test_operations_run_where_the_hypervisor_is(stack: LabStack, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    assert stack.refresh(config, target_types=("libvirt:*",)) == 0
    assert stack.up(config, refresh=True) == 0
    common = ("--stack", "lab", "--project", str(tmp_path), "--state", f"{tmp_path}/s")
    run, given = (sys.executable, "-m", "lab.pulumi.operations"), ("--config-file", str(config))
    assert entered == [
        (*run, "refresh", *common, *given, "--target-type", "libvirt:*"),
        (*run, "up", *common, *given, "--refresh", "--refresh-apart"),
    ]
    stack.keep(Providers(name="lab", reason=""))
    stack.up(config, refresh=True)
    assert entered[-1] == (*run, "up", *common, *given, "--refresh"), "stand-ins do not hang"


def test_outputs_are_read_in_the_state_and_secrets_stay_hidden(
    stack: LabStack, tmp_path: Path
) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: proj\n")
    assert stack.outputs() == {}
    place = stack.folder / "backend" / ".pulumi" / "stacks" / "proj" / "lab.json"
    place.parent.mkdir(parents=True)
    secret = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
    outputs = {"a": [1], "b": {"c": {**secret, "ciphertext": "v1:x"}}}
    resources = [{"type": "x", "outputs": {"z": 1}}, {"type": STACK, "outputs": outputs}]
    place.write_text(json.dumps({"checkpoint": {"latest": {"resources": resources}}}))
    assert stack.outputs() == {"a": [1], "b": {"c": "[secret]"}}
    place.write_text("{}")
    with pytest.raises(StackError, match="is not a Pulumi state"):
        stack.outputs()


def test_a_lab_keeps_the_providers_with_which_it_was_applied(
    stack: LabStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = Cli(path=tmp_path / "pulumi", version="3.260.0", reason="")
    chosen = {"auto": "real", "real": "real", "lab": "lab"}

    def choose(requested: str, cli: Cli) -> Providers:
        del cli
        return Providers(name=chosen[requested], reason="found")

    monkeypatch.setattr("lab.pulumi.tools.choose", choose)
    assert stack.providers("auto", cli).name == "real"
    stack.preview(tmp_path / "c.yaml")
    assert stack.applied_with() is None, "a preview decides nothing"
    stack.keep(stack.providers("lab", cli))
    kept = stack.providers("auto", cli)
    assert (kept.name, kept.reason) == ("lab", "this lab was applied with them")
    with pytest.raises(StackError, match=r"PROVIDERS=real: .* PROVIDERS=lab, .* `make down` first"):
        stack.providers("real", cli)
