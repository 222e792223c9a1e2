"""The processes that the Pulumi CLI starts as plugins: how they begin, and what ends them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, provider_pb2, provider_pb2_grpc

from lab.providers.plugin import struct
from lab.pulumi import resident, tools
from lab.pulumi.cli import Cli
from lab.pulumi.launcher import PLACE
from recovery.processes import command_line, programs_in
from tests.support.program import PROJECT
from tests.unit.lab.test_providers import ended

SECONDS = 60


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a stack with the lab's stand-ins."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    cli = Cli(path=tmp_path / "pulumi", version="3.260.0", reason="")
    folder = tmp_path / "stack"
    folder.mkdir()
    tools.lay_out(folder, cli, tools.Providers(name=tools.STAND_INS, reason=""))
    return folder / "home" / "plugins"


@contextmanager
def started(path: Path, **variables: str) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """Start a plugin as the CLI does; gives its process and its port."""
    with subprocess.Popen(
        (str(path), "127.0.0.1:1"),
        cwd=path.parent,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def command(plugins: Path) -> Path:
    return plugins / "resource-command-v1.2.1" / "pulumi-resource-command"


def make(port: int, script: str) -> str:
    """Run a command through a plugin, and return what it printed."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = provider_pb2_grpc.ResourceProviderStub(channel)
        stub.Configure(provider_pb2.ConfigureRequest(args=Struct()), timeout=SECONDS)
        urn = "urn:pulumi:s::p::command:local:Command::c"
        made = stub.Create(
            provider_pb2.CreateRequest(urn=urn, properties=struct({"create": script})),
            timeout=SECONDS,
        )
        return str(made.properties["stdout"])


@pytest.mark.parametrize("kind", ["alone", "resident"])
def test_a_plugin_runs_where_and_as_it_was_started(programs: Path, kind: str) -> None:
    path = command(programs)
    with resident.running(os.environ) as variables:
        given = {"MARK": "of the CLI"}
        if kind == "resident":
            given[PLACE] = variables[PLACE]
        with started(path, **given) as (process, port):
            assert make(port, 'echo "$MARK in $(pwd)"') == f"of the CLI in {path.parent}"
            found = programs_in(path.parent, "pulumi-resource")
            assert process.pid in found, "by which a killed run's are found"
            assert len(found) == (2 if kind == "resident" else 1)
            process.send_signal(signal.SIGINT)
            process.wait(SECONDS)
            assert all(ended(pid) for pid in found)


@pytest.mark.parametrize("kind", ["alone", "resident"])
@pytest.mark.parametrize("how", ["killed", "no reader"])
def test_the_end_of_a_plugin_is_that_of_its_commands(
    programs: Path, tmp_path: Path, kind: str, how: str
) -> None:
    with resident.running(os.environ) as variables:
        given = {PLACE: variables[PLACE]} if kind == "resident" else {}
        with started(command(programs), **given) as (process, port):
            script = f"sleep 60 & echo $! > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; wait"
            channel = grpc.insecure_channel(f"127.0.0.1:{port}")
            stub = provider_pb2_grpc.ResourceProviderStub(channel)
            urn = "urn:pulumi:s::p::command:local:Command::c"
            under_way = stub.Create.future(
                provider_pb2.CreateRequest(urn=urn, properties=struct({"create": script}))
            )
            deadline = time.monotonic() + SECONDS
            while not (tmp_path / "pid").exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            if how == "killed":
                process.kill()
            else:
                assert process.stdout is not None
                process.stdout.close()  # as when the CLI was killed
            assert ended(int((tmp_path / "pid").read_text()))
            process.wait(SECONDS)
            under_way.cancel()
            channel.close()


def test_a_resident_that_is_gone_is_not_needed(programs: Path) -> None:
    with started(command(programs), **{PLACE: "@gatehouse-gone"}) as (_, port):
        assert make(port, "echo fine") == "fine"


def test_the_resident_ends_with_whoever_has_it() -> None:
    script = (
        "import os, signal, subprocess\n"
        "from lab.pulumi import resident\n"
        "with resident.running(os.environ):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    mark = f"MARK={os.getpid()}"
    subprocess.run(
        (sys.executable, "-c", script),
        cwd=PROJECT,
        env={**os.environ, "MARK": str(os.getpid())},
        check=False,
    )
    left = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/environ")
        if mark.encode() in read(path).split(b"\0")
        and "resident" in command_line(int(path.parent.name))
    ]
    assert all(ended(pid) for pid in left)


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


PROGRAM = """
import json, os, sys
import pulumi
told = {"config": pulumi.Config().get("a"), "python": sys.prefix, "folder": os.getcwd(),
        "stack": pulumi.get_stack(), "preview": pulumi.runtime.is_dry_run(), "path": sys.path[0]}
with open("told.json", "w") as file:
    json.dump(told, file)
"""


def run_request(folder: Path) -> language_pb2.RunRequest:
    options = Struct()
    options.update({"virtualenv": os.path.relpath(sys.prefix, folder)})
    return language_pb2.RunRequest(
        project="p",
        stack="s",
        pwd=str(folder),
        program=str(folder),
        args=["127.0.0.1:1"],
        config={"p:a": "1"},
        dryRun=True,
        parallel=4,
        monitor_address="127.0.0.1:1",
        info=language_pb2.ProgramInfo(
            root_directory=str(folder),
            program_directory=str(folder),
            entry_point=".",
            options=options,
        ),
    )


def test_the_language_host_knows_the_plugins_and_says_what_it_lacks(
    programs: Path, tmp_path: Path
) -> None:
    host = programs / "language-python-v3.260.0" / "pulumi-language-python"
    with (
        started(host) as (_, port),
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        stub = language_pb2_grpc.LanguageRuntimeStub(channel)
        request = run_request(tmp_path)
        asked = language_pb2.GetRequiredPackagesRequest(info=request.info)
        found = {each.name: each.version for each in stub.GetRequiredPackages(asked).packages}
        assert found == {"command": "v1.2.1", "docker": "v5.2.0", "libvirt": "v0.5.4"}
        about = stub.About(language_pb2.AboutRequest(info=request.info))
        assert about.executable == f"{tmp_path}/{os.path.relpath(sys.prefix, tmp_path)}/bin/python"
        request.info.options.update({"virtualenv": "none"})
        answer = stub.Run(request)
        assert answer.error == f"{tmp_path}/none/bin/python: does not exist: run `make venv`"
        assert stub.GetPluginInfo(Empty()).version == "3.260.0"


def test_a_program_that_fails_before_it_registers_anything_is_ended(
    programs: Path, tmp_path: Path
) -> None:
    # Nobody listens where the engine is said to be, so the program cannot begin its stack.
    (tmp_path / "__main__.py").write_text(PROGRAM)
    host = programs / "language-python-v3.260.0" / "pulumi-language-python"
    with (
        started(host) as (_, port),
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        answer = language_pb2_grpc.LanguageRuntimeStub(channel).Run(run_request(tmp_path))
        assert answer.error or answer.bail
        assert not (tmp_path / "told.json").exists() or json.loads(
            (tmp_path / "told.json").read_text()
        )
