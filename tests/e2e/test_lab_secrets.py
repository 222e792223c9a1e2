"""No secret of an applied stack is where it must not be.

Every kind of secret is in the stack, and one of them changes: then both the old and the new value
are looked for in the state with all its backups, in what the lab's commands and daemons have
printed, in the outputs, and among the arguments of the processes that ran meanwhile.
"""

import json
import secrets as random
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from controller.key_files import key_folder
from lab.commands import PROJECT
from lab.pulumi.lab_stack import FOLDER
from tests.support import secrets
from tests.support.driver import LAB, Driver


def value() -> str:
    return random.token_hex(16)


HASH = f"$6${value()[:16]}${'a' * 22}{value()}{value()}"


@dataclass(frozen=True)
class Applied:
    """A stack that was applied twice, with another token the second time."""

    secrets: secrets.Secrets
    tokens: tuple[str, str]
    password: str
    printed: str
    arguments: set[str]


def configure(driver: Driver, token: str, password: str) -> None:
    document = yaml.safe_load(driver.config.read_text())
    document["config"]["gatehouse:services"]["vault"] = {
        "image": "hello:1",
        "hosts": ["vault.lab"],
        "port": 8080,
        "replicas": 1,
        "health": {"path": "/health"},
        "secret_env": {"TOKEN": token},
        "http": {"basic_auth": {"ann": HASH}},
    }
    document["config"]["gatehouse:registries"] = {
        "registry.example.org": {"username": "ann", "password": password}
    }
    driver.config.write_text(yaml.safe_dump(document, sort_keys=False))


@pytest.fixture(scope="module")
def applied(driver: Driver) -> Iterator[Applied]:
    before = driver.config.read_text()
    tokens, password = (value(), value()), value()
    known: secrets.Secrets = {}
    printed = ""
    try:
        with secrets.arguments_seen() as seen:
            for token in tokens:
                configure(driver, token, password)
                printed += driver.ok("preview").text + driver.ok("up").text
                known |= secrets.of_stack(kept(driver), LAB, PROJECT, driver.config)
        yield Applied(
            secrets=known, tokens=tokens, password=password, printed=printed, arguments=seen
        )
    finally:
        driver.config.write_text(before)


def kept(driver: Driver) -> Path:
    return driver.datacentre.root / FOLDER


def test_all_secrets_of_the_stack_are_known(driver: Driver, applied: Applied) -> None:
    assert {*applied.tokens, applied.password, HASH} <= set(applied.secrets)
    assert all(applied.secrets[token].startswith("vault-") for token in applied.tokens), (
        "Pulumi told of it, and not only the config"
    )
    key = (PROJECT / key_folder(LAB) / "id_ed25519").read_text()
    assert set(secrets.parts(key)) <= set(applied.secrets), "the key that enters the VMs"
    generated = {name.split()[0] for name in applied.secrets.values() if "-keygen " in name}
    assert len(generated) > len(driver.outputs()["vms"]), "and each VM's own"


def test_no_secret_is_in_the_state_or_in_anything_that_is_kept_beside_it(
    driver: Driver, applied: Applied
) -> None:
    files = secrets.files([kept(driver)])
    assert any(path.name == f"{LAB}.json" for path in files)
    assert secrets.in_files(applied.secrets, [kept(driver)]) == []


def test_the_state_and_what_opens_it_are_for_their_owner_only(driver: Driver) -> None:
    assert stat.S_IMODE(kept(driver).stat().st_mode) == 0o700
    assert stat.S_IMODE((kept(driver) / "passphrase").stat().st_mode) == 0o600


def test_no_secret_was_printed(driver: Driver, applied: Applied) -> None:
    assert "vault-web-" in applied.printed
    assert secrets.in_text(applied.secrets, applied.printed) == []
    root = driver.datacentre.root
    logs = [root / "log", root / "init.log", root / "fs" / "var" / "log", driver._log]
    assert driver._log in secrets.files(logs)
    assert secrets.in_files(applied.secrets, logs) == []


def test_no_secret_is_shown_with_the_outputs(driver: Driver, applied: Applied) -> None:
    outputs = driver.outputs()
    assert "vault" in outputs["services"]
    assert secrets.in_text(applied.secrets, json.dumps(outputs)) == []


def test_no_secret_was_an_argument_of_a_process(applied: Applied) -> None:
    # What runs long enough to be seen for sure: the engine, and ssh to a VM.
    assert [each for each in applied.arguments if f"\0--stack\0{LAB}\0" in each]
    assert [each for each in applied.arguments if "known_hosts" in each]
    told = [
        (each, names)
        for each in applied.arguments
        if (names := secrets.in_text(applied.secrets, each))
    ]
    assert told == []


def test_the_key_files_are_for_their_owner_only() -> None:
    folder = PROJECT / key_folder(LAB)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}
    assert all(mode == (0o700 if path.is_dir() else 0o600) for path, mode in modes.items()), modes
