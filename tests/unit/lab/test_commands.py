"""What the lab's commands do with a lab and its stack, both pretended."""

import contextlib
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lab import commands
from lab.commands import Lab
from lab.providers import VERSIONS
from lab.pulumi import cli, tools
from lab.pulumi.errors import StackError

CONFIG = """\
config:
  gatehouse:farm: {vms: 2}
  gatehouse:services: {hello: {hosts: [hello.lab], replicas: 3}}
"""


class FakeDatacentre:
    """A lab that runs nothing but notes it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = contextlib.nullcontext()
        self.entered: list[str] = []
        self.up = True

    def start(self, hosts: Sequence[str], images: Sequence[str]) -> None:
        del hosts, images
        self.root.mkdir(exist_ok=True)
        self.up = True

    def running(self) -> bool:
        return self.up

    def domain_type(self) -> str:
        return "qemu"

    def stop(self) -> None:
        self.up = False

    def enter(self, argv: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        del options
        self.entered.append(" ".join(argv[2:4]))
        return subprocess.CompletedProcess(argv, 0, stdout="", stderr="")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Lab, FakeDatacentre]:
    config = tmp_path / "Pulumi.lab.yaml"
    config.write_text(CONFIG)
    made = FakeDatacentre(tmp_path / "lab")
    found = cli.Cli(path=tmp_path / "pulumi", version="3.260.0", reason="it is here")
    real = tools.Providers(name=tools.REAL, reason="they are here", folder=tmp_path / "plugins")
    for name in VERSIONS:
        (tmp_path / "plugins" / tools.plugin(name)).mkdir(parents=True)
    monkeypatch.setattr(Lab, "_datacentre", made)
    monkeypatch.setattr(commands, "PROJECT", tmp_path)
    (tmp_path / "Pulumi.yaml").write_text("name: gatehouse\n")
    monkeypatch.setattr("lab.prerequisites.check_root", lambda: None)
    monkeypatch.setattr(cli, "being_built", contextlib.nullcontext)
    monkeypatch.setattr(cli, "find", lambda: found)
    monkeypatch.setattr(
        tools,
        "choose",
        lambda requested, _: tools.Providers(name="lab", reason="") if requested == "lab" else real,
    )
    return Lab(name="lab", providers="auto", config_file=config), made


def test_up_says_what_it_applies_the_program_with(
    site: tuple[Lab, FakeDatacentre], capsys: pytest.CaptureFixture[str]
) -> None:
    lab, _ = site
    assert lab.up() == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "engine: Pulumi 3.260.0 (it is here)"
    assert shown[1] == "providers: Pulumi's own plugins (they are here)"


def test_a_preview_does_not_decide_how_a_lab_is_applied(
    site: tuple[Lab, FakeDatacentre],
) -> None:
    lab, _ = site
    other = Lab(name="lab", providers="lab", config_file=lab.config_file)
    assert lab.preview() == 0
    assert other.up() == 0
    with pytest.raises(StackError, match="was applied with PROVIDERS=lab"):
        Lab(name="lab", providers="real", config_file=lab.config_file).preview()
    assert lab.preview() == 0, "without being asked for some it takes those"


def test_scaling_leaves_the_file_as_it_is_and_lasts_until_down(
    site: tuple[Lab, FakeDatacentre], capsys: pytest.CaptureFixture[str]
) -> None:
    lab, datacentre = site
    assert lab.scale(vms=3, service=None, replicas=None) == 0
    assert lab.config_file.read_text() == CONFIG
    assert "vms: 3" in lab._config().read_text()
    assert lab.scale(vms=None, service="hello", replicas=5) == 0
    text = lab._config().read_text()
    assert "vms: 3" in text
    assert "replicas: 5" in text
    capsys.readouterr()
    assert lab.up() == 0
    assert "scaled: farm.vms: 3, until you edit it or run `make down`" in capsys.readouterr().out
    assert (datacentre.root / "scaled.json").is_relative_to(datacentre.root), "goes with the lab"


@pytest.mark.parametrize("missing", ["cli", "providers", "nothing"])
def test_down_works_whatever_is_there_by_then(
    site: tuple[Lab, FakeDatacentre],
    missing: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lab, datacentre = site
    lab.up()
    datacentre.entered.clear()
    if missing == "cli":
        monkeypatch.setattr(cli, "find", lambda: None)
    elif missing == "providers":

        def choose(requested: str, _: cli.Cli) -> tools.Providers:
            raise tools.ProvidersError(f"PROVIDERS={requested}: docker 5.2.0 not there")

        monkeypatch.setattr(tools, "choose", choose)
    assert lab.down() == 0
    assert not datacentre.up
    if missing == "nothing":
        assert datacentre.entered == ["lab.pulumi.operations destroy"]
    else:
        assert datacentre.entered == []
        assert "could not be destroyed in order; the lab is removed with it" in (
            capsys.readouterr().err
        )


def test_a_lab_that_nothing_was_applied_in_is_just_removed(
    site: tuple[Lab, FakeDatacentre],
) -> None:
    lab, datacentre = site
    lab.preview()
    datacentre.entered.clear()
    assert lab.down() == 0
    assert datacentre.entered == []
