"""The search for secrets that the lab's tests use finds what it is there to find."""

import gzip
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import secrets

KEY = """-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACDtheSecondLineIsItsOwn0000000000000000000000000000000000000
AAAECtheThird=
-----END OPENSSH PRIVATE KEY-----
ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIthePublicHalf gatehouse
"""
SECOND = "QyNTUxOQAAACDtheSecondLineIsItsOwn0000000000000000000000000000000000000"


@pytest.mark.parametrize(
    ("text", "looked_for"),
    [
        (KEY, {SECOND, "AAAECtheThird="}),
        ("TOKEN=hunter2", {"hunter2"}),
        ("dG9rZW4=", {"dG9rZW4="}),
        ("dG9rZW5z==", {"dG9rZW5z=="}),
        ("two\nlines of it", {"two\nlines of it"}),
        ("userlist a\n  user ann password $6$salt$hash.of/it\n", {"$6$salt$hash.of/it"}),
        (
            json.dumps([{"address": "registry.example.org", "password": "hunter2"}]),
            {"hunter2"},
        ),
        ('{"no": "secret key in it"}', {'{"no": "secret key in it"}'}),
        ("short", set()),
    ],
)
def test_of_a_secret_text_that_is_looked_for_which_nobody_else_has(
    text: str, looked_for: set[str]
) -> None:
    assert set(secrets.parts(text)) == looked_for


def test_all_secrets_of_an_export_are_known() -> None:
    def marked(value: object) -> dict[str, str]:
        return {secrets._MARK: secrets._IS_SECRET, "plaintext": json.dumps(value)}

    def exported(name: str) -> dict[str, object]:
        urn = f"urn:pulumi:test::p::docker:index/container:Container::{name}"
        return {"urn": urn, "inputs": {"envs": ["A=open", marked(f"TOKEN=token of {name}")]}}

    outputs = {"urn": "urn:pulumi:test::p::t::s", "outputs": marked({"deep": ["nested secret"]})}
    deployment = {
        "resources": [outputs, exported("a")],
        "pending_operations": [{"resource": exported("b"), "type": "creating"}],
    }
    assert secrets.in_export({"version": 3, "deployment": deployment}) == {
        "nested secret": "s outputs.deep[0]",
        "token of a": "a inputs.envs[1]",
        "token of b": "b inputs.envs[1]",
    }
    assert secrets.in_export({"deployment": {}}) == {}


def test_all_secrets_of_a_config_are_known(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "config: {'gatehouse:services': {a: {secret_env: {T: hunter2}, env: {U: open}}}}"
    )
    assert secrets.in_config(tmp_path / "a.yaml") == {
        "hunter2": 'config ["gatehouse:services"].a.secret_env.T'
    }


FOUND = {SECOND: "a key", 'say "it"\n': "a text"}


def test_a_secret_is_found_in_each_form_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "state" / ".backups").mkdir(parents=True)
    (tmp_path / "state" / "state.json").write_text(json.dumps({"key": KEY}))
    (tmp_path / "state" / ".backups" / "b.json").write_text(json.dumps(FOUND))
    (tmp_path / "state" / ".backups" / "c.json.gz").write_bytes(gzip.compress(KEY.encode()))
    (tmp_path / "state" / "clean").write_bytes(b"\xff\xfe nothing")
    (tmp_path / "log").write_text('they say "it"\nand more')
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "other").write_text(KEY)
    (tmp_path / "state" / "link").symlink_to(elsewhere)
    assert secrets.in_files(FOUND, [tmp_path / "state", tmp_path / "log"]) == [
        f"{tmp_path}/log: a text",
        f"{tmp_path}/state/.backups/b.json: a key",
        f"{tmp_path}/state/.backups/b.json: a text",
        f"{tmp_path}/state/.backups/c.json.gz: a key",
        f"{tmp_path}/state/state.json: a key",
    ]


def test_what_a_process_is_given_as_an_argument_is_seen() -> None:
    script = "import sys; sys.stdin.read()"
    with (
        secrets.arguments_seen() as seen,
        subprocess.Popen(
            (sys.executable, "-c", script, f"--token={SECOND}"), stdin=subprocess.PIPE
        ) as process,
    ):
        deadline = time.monotonic() + 30
        while not secrets.in_text(FOUND, "".join(seen)) and time.monotonic() < deadline:
            time.sleep(secrets.SAMPLE_SECONDS)
        process.communicate()
    assert [each for each in seen if secrets.in_text(FOUND, each) == ["a key"]]
