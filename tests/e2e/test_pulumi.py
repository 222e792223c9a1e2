"""The real Pulumi CLI with the lab's providers, on small programs and without a lab.

What the engine decides is Pulumi's; what is looked at here is what the lab has to do with it:
secrets, what a killed run has left, and errors that lose nothing.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from lab.pulumi import cli, tools
from recovery.processes import processes_with
from tests.support import secrets
from tests.unit.lab.test_providers import ended

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def pulumi() -> cli.Cli:
    """The CLI that a lab would use, built first where there is none."""
    with cli.being_built():
        pass
    return cli.ready()


@dataclass(frozen=True)
class Site:
    """A stack on a project of its own."""

    folder: Path
    pulumi: cli.Cli

    @property
    def config(self) -> Path:
        """The stack's config file."""
        return self.folder / "Pulumi.test.yaml"

    @property
    def stack(self) -> Path:
        """All that the lab keeps of it."""
        return self.folder / "stack"

    def write(self, program: str, config: dict[str, object]) -> None:
        """Write the program and its config, and put the CLI and the providers in place."""
        self.stack.mkdir(exist_ok=True, mode=0o700)
        stand_ins = tools.Providers(name=tools.STAND_INS, reason="")
        tools.lay_out(self.stack, self.pulumi, stand_ins)
        (self.folder / "__main__.py").write_text(program)
        runtime = {"name": "python", "options": {"virtualenv": sys.prefix}}
        (self.folder / "Pulumi.yaml").write_text(
            yaml.safe_dump({"name": "keeping", "runtime": runtime})
        )
        self.config.write_text(yaml.safe_dump({"config": config}))

    def command(self, operation: str, *options: str) -> list[str]:
        """Return the command line of an operation."""
        return [
            *(sys.executable, "-m", "lab.pulumi.operations", operation, "--stack", "test"),
            *("--project", str(self.folder), "--state", str(self.stack), *options),
        ]

    def start(self, operation: str, *options: str) -> "subprocess.Popen[str]":
        """Start an operation."""
        return subprocess.Popen(
            # A shell has what it starts in the background ignore SIGINT, these tests too.
            ("env", "--default-signal=INT", *self.command(operation, *options)),
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, operation: str, *options: str) -> tuple[int, str]:
        """Run an operation to its end, and return its exit code and what it printed."""
        with self.start(operation, *options) as process:
            printed = process.communicate(timeout=300)[0]
        return process.returncode, printed

    def ok(self, operation: str, *options: str) -> str:
        """Run an operation that has to succeed."""
        code, printed = self.run(operation, *options)
        assert code == 0, printed
        return printed

    @property
    def processes(self) -> list[int]:
        """The CLI and its plugins, if they run."""
        backend = f"PULUMI_BACKEND_URL=file://{self.stack}/backend"
        return processes_with(backend, "pulumi")


@pytest.fixture
def site(tmp_path: Path, pulumi: cli.Cli) -> Site:
    return Site(tmp_path, pulumi)


SECRETIVE = """
import pulumi
from pulumi_command import local
from components.vm.keys import KeyPair

service = pulumi.Config("gatehouse").require_object("services")["vault"]
token = pulumi.Output.secret(service["secret_env"]["TOKEN"])
pair = KeyPair("pair", "test")
local.Command("given", local.CommandArgs(
    create="cat > /dev/null", stdin=pair.private_key, environment={"TOKEN": token}))
local.Command("repeating", local.CommandArgs(
    create='echo "it is $TOKEN"; sleep 1', environment={"TOKEN": token}, logging="none"),
    pulumi.ResourceOptions(additional_secret_outputs=["stdout", "stderr"]))
local.Command("failing", local.CommandArgs(
    create="exit " + service["env"]["CODE"], environment={"TOKEN": token}))
pulumi.export("token", token)
pulumi.export("public", pair.public_key)
"""


def test_secrets_are_nowhere_in_plain_text(site: Site) -> None:
    tokens = ("first-token-of-all", "second-token-of-all", "third-token-of-all")
    known: secrets.Secrets = {}
    printed = ""
    with secrets.arguments_seen() as seen:
        for token, code in zip(tokens, (0, 0, 7), strict=True):
            vault = {"secret_env": {"TOKEN": token}, "env": {"CODE": str(code)}}
            site.write(SECRETIVE, {"gatehouse:services": {"vault": vault}})
            for operation in ("preview", "up"):
                ended_with, text = site.run(operation)
                expected = operation == "up" and code != 0
                assert (ended_with != 0) is expected, text
                printed += text
            known |= secrets.of_stack(site.stack, "test", site.folder, site.config)
    assert set(tokens) <= set(known)
    assert {name for name in known.values() if name.startswith("pair-keygen ")}
    assert len(known) > len(tokens)
    assert "exit status 7" in printed
    assert secrets.in_text(known, printed) == []
    assert secrets.in_files(known, [site.stack]) == []
    shown = site.ok("outputs")
    assert "ssh-ed25519 " in shown
    assert secrets.in_text(known, shown) == []
    revealed = site.ok("outputs", "--show-secrets")
    assert any(token in revealed for token in tokens)
    assert [each for each in seen if str(site.folder) in each]
    assert [each for each in seen if secrets.in_text(known, each)] == []


SLOW = """
import pulumi
from pulumi_command import local

settings = pulumi.Config().require_object("settings")
first = local.Command("first", create="echo first >> notes", delete="echo gone >> notes")
local.Command("slow", local.CommandArgs(
    create="sleep {} & echo $! > pid.new; mv pid.new pid; wait".format(settings["seconds"])),
    pulumi.ResourceOptions(depends_on=[first]))
"""


def slow(site: Site, seconds: int) -> None:
    site.write(SLOW, {"keeping:settings": {"seconds": seconds}})


def under_way(site: Site) -> int:
    """Wait until the slow command runs, and return the process of what it has started."""
    deadline = time.monotonic() + 120
    while not (site.folder / "pid").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return int((site.folder / "pid").read_text())


def test_a_run_that_was_killed_leaves_nothing_running_and_is_simply_run_again(site: Site) -> None:
    slow(site, 600)
    with site.start("up") as process:
        child = under_way(site)
        process.kill()
    assert ended(child)
    deadline = time.monotonic() + 30
    while site.processes and time.monotonic() < deadline:
        time.sleep(0.05)
    assert site.processes == [], "neither the CLI nor a plugin"
    slow(site, 0)
    printed = site.ok("up")
    assert "the last run was cut short: its lock is removed" in printed
    assert "the last run was cut short at: creating slow (command:local:Command)" in printed
    assert (site.folder / "notes").read_text() == "first\n", "what was done is not done again"
    assert "2 unchanged" not in site.ok("destroy")
    assert (site.folder / "notes").read_text() == "first\ngone\n"


EFFECT = """
import pulumi
from pulumi_command import local

settings = pulumi.Config().require_object("settings")
local.Command("effect", local.CommandArgs(
    create="echo {value} > effect; sleep {seconds} & echo $! > pid.new; mv pid.new pid; wait"
    .format(**settings)))
"""


def test_an_update_that_was_killed_after_its_effect_is_undone_by_the_previous_config(
    site: Site,
) -> None:
    def effect(value: str, seconds: int) -> None:
        site.write(EFFECT, {"keeping:settings": {"value": value, "seconds": seconds}})

    effect("old", 0)
    site.ok("up")
    (site.folder / "pid").unlink()
    effect("new", 600)
    with site.start("up") as process:
        under_way(site)
        process.kill()
    assert (site.folder / "effect").read_text() == "new\n"
    effect("old", 0)
    assert "1 updated" in site.ok("up"), "in place"
    assert (site.folder / "effect").read_text() == "old\n"
    assert "2 unchanged" in site.ok("up"), "and only once"


FAILING = """
import pulumi
from pulumi_command import local
from components import again
from components.data import check

again.watch(check.resources())
settings = pulumi.Config().require_object("settings")
local.Command("edge-haproxy", local.CommandArgs(
    create="echo {value} > effect; echo {value}; exit {code}".format(**settings)))
"""


def test_an_update_that_failed_after_its_effect_is_undone_by_the_previous_config(
    site: Site,
) -> None:
    def effect(value: str, code: int) -> None:
        site.write(FAILING, {"keeping:settings": {"value": value, "code": code}})

    effect("old", 0)
    site.ok("up")
    assert "2 unchanged" in site.ok("up")
    effect("new", 255)
    code, printed = site.run("up")
    assert code != 0
    assert "The next `pulumi up` from this folder runs it again" in printed
    effect("old", 0)
    assert "1 to update" in site.ok("preview"), "and changes nothing"
    assert (site.folder / "effect").read_text() == "new\n"
    assert "1 updated" in site.ok("up")
    assert (site.folder / "effect").read_text() == "old\n"
    assert "2 unchanged" in site.ok("up"), "and only once"
    shutil.rmtree(site.folder / ".gatehouse")
    assert "2 unchanged" in site.ok("preview"), "nor on another machine"


LEAVING = """
import pulumi
from pulumi_command import local
from components import again
from components.data import check

again.watch(check.resources())
if pulumi.Config().require_object("settings"):
    local.Command("web-0-0-serving", local.CommandArgs(
        create="echo serves > effect", delete="echo left > effect; exit $(cat code)"))
"""


def test_a_deletion_that_failed_after_its_effect_is_undone_by_the_previous_config(
    site: Site,
) -> None:
    effect, code = site.folder / "effect", site.folder / "code"
    site.write(LEAVING, {"keeping:settings": True})
    site.ok("up")
    code.write_text("255\n")
    site.write(LEAVING, {"keeping:settings": False})
    failed, printed = site.run("up")
    assert failed != 0
    assert "The next `pulumi up` from this folder runs it again" in printed
    assert effect.read_text() == "left\n"
    site.write(LEAVING, {"keeping:settings": True})
    assert "1 updated" in site.ok("up")
    assert effect.read_text() == "serves\n"
    assert "2 unchanged" in site.ok("up")
    code.write_text("0\n")
    site.write(LEAVING, {"keeping:settings": False})
    site.ok("up")
    assert effect.read_text() == "left\n"
    assert not list((site.folder / ".gatehouse").glob("*/again/*"))


def test_a_run_that_is_interrupted_ends_its_commands_and_keeps_what_was_made(site: Site) -> None:
    slow(site, 600)
    with site.start("up") as process:
        child = under_way(site)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    assert process.returncode != 0
    assert ended(child)
    slow(site, 0)
    printed = site.ok("up")
    assert "cut short" not in printed, "it ended in order"
    assert (site.folder / "notes").read_text() == "first\n"


REFUSED = """
import pulumi
from pulumi_command import local, remote

kind = pulumi.Config().require("kind")
if kind == "input":
    local.Command("c", local.CommandArgs(create="true", asset_paths=["*"]))
elif kind == "type":
    remote.CopyFile("c", remote.CopyFileArgs(
        connection=remote.ConnectionArgs(host="x"), local_path="a", remote_path="b"))
elif kind == "invoke":
    local.run(command="true")
"""


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("input", "the lab does not implement the input assetPaths[0]"),
        ("type", "do not implement the resource type command:remote:CopyFile"),
        ("invoke", "Method not implemented"),
    ],
)
def test_what_the_stand_ins_do_not_implement_ends_the_preview(
    site: Site, kind: str, said: str
) -> None:
    site.write(REFUSED, {"keeping:kind": kind})
    code, printed = site.run("preview")
    assert code != 0
    assert said in printed
