"""Both engines keep secrets: a program with each kind of them, applied for real, without a lab.

The Pulumi CLI's part is skipped where that is not at hand.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from lab import engines
from tests.e2e import secrets

PROJECT = Path(__file__).parents[2]
MODULES = {"lab": "lab.engine", "pulumi": "lab.pulumi_cli"}
PROGRAM = """
import pulumi
from pulumi_command import local
from components.vm.keys import KeyPair

service = pulumi.Config("gatehouse").require_object("services")["vault"]
token = pulumi.Output.secret(service["secret_env"]["TOKEN"])
pair = KeyPair("pair", "test")
local.Command("given", local.CommandArgs(
    create="cat > /dev/null", stdin=pair.private_key, environment={"TOKEN": token}))
local.Command("repeating", local.CommandArgs(
    create='echo "it is $TOKEN"; sleep 1; exit ' + service["env"]["CODE"],
    environment={"TOKEN": token}),
    pulumi.ResourceOptions(additional_secret_outputs=["stdout", "stderr"]))
pulumi.export("token", token)
pulumi.export("public", pair.public_key)
"""


@dataclass(frozen=True)
class Side:
    """One engine on a project of its own."""

    engine: str
    folder: Path

    @property
    def config(self) -> Path:
        """The stack's config file."""
        return self.folder / "Pulumi.test.yaml"

    @property
    def engines(self) -> Path:
        """The folder of the engine's folder."""
        return self.folder / "engines"

    def write(self, token: str, code: int) -> None:
        """Write the program and its config."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / "__main__.py").write_text(PROGRAM)
        runtime = {"name": "python", "options": {"virtualenv": sys.prefix}}
        (self.folder / "Pulumi.yaml").write_text(
            yaml.safe_dump({"name": "keeping", "runtime": runtime})
        )
        vault = {"secret_env": {"TOKEN": token}, "env": {"CODE": str(code)}}
        self.config.write_text(yaml.safe_dump({"config": {"gatehouse:services": {"vault": vault}}}))

    def run(self, operation: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run an operation to its end."""
        return subprocess.run(
            (
                *(sys.executable, "-m", MODULES[self.engine], operation, "--stack", "test"),
                *("--project", str(self.folder), *options),
                *("--state", str(self.engines / self.engine)),
            ),
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )

    def known(self) -> secrets.Secrets:
        """Return all secrets of the stack as it is now."""
        return secrets.of_stack(self.engines, "test", self.folder, self.config)


@pytest.mark.parametrize("engine", ["lab", "pulumi"])
def test_secrets_are_nowhere_in_plain_text(engine: str, tmp_path: Path) -> None:
    at_hand, why = engines.choose("auto")
    if engine == "pulumi" and at_hand != engine:
        pytest.skip(why)
    side = Side(engine, tmp_path / engine)
    tokens = ("first-token-of-all", "second-token-of-all", "third-token-of-all")
    known: secrets.Secrets = {}
    printed = ""
    with secrets.arguments_seen() as seen:
        for token, code in zip(tokens, (0, 0, 7), strict=True):
            side.write(token, code)
            for operation in ("preview", "up"):
                done = side.run(operation)
                expected = operation == "up" and code != 0
                assert (done.returncode != 0) is expected, done.stdout
                printed += done.stdout
            known |= side.known()
    assert set(tokens) <= set(known)
    assert {name for name in known.values() if name.startswith("pair-keygen ")}
    assert len(known) > len(tokens)
    assert "exit status 7" in printed
    assert secrets.in_text(known, printed) == []
    assert secrets.in_files(known, [side.engines]) == []
    shown = side.run("outputs").stdout
    assert "ssh-ed25519 " in shown
    assert secrets.in_text(known, shown) == []
    revealed = side.run("outputs", "--show-secrets").stdout
    assert any(token in revealed for token in tokens)
    assert [each for each in seen if str(side.folder) in each]
    assert [each for each in seen if secrets.in_text(known, each)] == []
