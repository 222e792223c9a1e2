"""What the README and the docs say to type, typed into a terminal as it stands there.

On a small program with the production example's own config, a `file://` backend and a passphrase
that is asked for. What needs VMs is typed in the lab's scenarios.
"""

import dataclasses
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from lab.commands import PROJECT
from lab.pulumi import cli, tools
from tests.e2e.test_pulumi import pulumi as pulumi
from tests.support.person import Person, checkout, environment_of
from tests.support.terminal import PASSPHRASE

PROGRAM = """
import pulumi
from pulumi_command import local

config = pulumi.Config("gatehouse")
vms = config.require_object("farm")["vms"]
wait = "sleep 600 & echo $! > pid.new; mv pid.new pid; wait" if config.get("slow") else "true"
for index in range(vms):
    local.Command(f"web-{index}-disk", create="echo made >> made")
local.Command("slow", create=wait)
local.Command("edge-haproxy-there", create="echo applied >> applied")
pulumi.export("edge", {"ssh": "ssh root@edge.example.org"})
"""


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory, pulumi: cli.Cli) -> Person:
    folder = tmp_path_factory.mktemp("person")
    stack, project, home = folder / "stack", folder / "gatehouse", folder / "home"
    for each in (stack, project, home):
        each.mkdir()
    tools.lay_out(stack, pulumi, tools.Providers(name=tools.STAND_INS, reason=""))
    checkout(project)
    (project / "__main__.py").unlink()
    (project / "__main__.py").write_text(PROGRAM)
    (project / "Pulumi.prod.yaml").write_text((PROJECT / "Pulumi.prod.yaml").read_text())
    return Person(folder=project, environment=environment_of(stack, home))


def config(person: Person) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load((person.folder / "Pulumi.prod.yaml").read_text())
    return found


def made(person: Person) -> int:
    return len((person.folder / "made").read_text().splitlines())


def test_a_stack_is_made_and_applied(person: Person) -> None:
    text = person.ok(
        "install -d -m 700 ~/.gatehouse-state && pulumi login file://$HOME/.gatehouse-state"
    )
    assert "Logged in" in text
    text = person.ok("pulumi stack init prod")
    assert "Enter your passphrase to protect" in text
    assert "Re-enter your passphrase" in text, "README says that it is asked twice"
    assert "prod" in person.ok("pulumi stack ls")
    text = person.ok("pulumi preview --diff")
    assert "Enter your passphrase to unlock" in text, "and once by each command"
    assert "+ command:local:Command: (create)" in text
    person.ok("pulumi up")
    assert made(person) == 2


def test_numbers_are_set_and_applied(person: Person) -> None:
    person.ok("pulumi config set --path gatehouse:farm.vms 3")
    person.ok("pulumi config set --path gatehouse:services.matomo.replicas 6")
    text = (person.folder / "Pulumi.prod.yaml").read_text()
    before = (PROJECT / "Pulumi.prod.yaml").read_text()
    assert text.count("# ") == before.count("# "), "comments stay, if not as they were laid out"
    assert yaml.safe_load(text)["config"]["gatehouse:services"]["matomo"]["replicas"] == 6
    person.ok("pulumi up")
    assert made(person) == 3


def test_the_other_commands_of_the_docs(person: Person) -> None:
    person.ok("pulumi preview")
    person.ok("pulumi refresh")
    person.ok("pulumi up --refresh")
    assert made(person) == 3, "nothing has changed"
    person.ok("pulumi up --replace '**web-1-disk'")
    person.ok("pulumi up --replace '**edge-haproxy*'")
    assert (person.folder / "applied").read_text() == "applied\n" * 2
    assert made(person) == 4
    person.ok("pulumi state unprotect --all --yes")
    shown = person.ok("echo at $(pulumi stack output --json edge | jq -r .ssh)")
    assert "at ssh root@edge.example.org" in shown
    variables = {**person.environment, "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE}
    dataclasses.replace(person, environment=variables).ok(
        # Both use the terminal at once. What is typed before pulumi has left it alone, as only a
        # test does, may never reach openssl.
        'openssl() { command openssl "$@" -stdin <<< hunter2hunter2; }; openssl passwd -6 |'
        " pulumi config set --secret --path 'gatehouse:services.shop.http.basic_auth.alice'"
    )
    person.ok("pulumi config set --path gatehouse:services.shop.http.maintenance true && pulumi up")
    shop = yaml.safe_load((person.folder / "Pulumi.prod.yaml").read_text())["config"][
        "gatehouse:services"
    ]["shop"]["http"]
    assert shop["maintenance"] is True
    assert set(shop["basic_auth"]["alice"]) == {"secure"}


def test_an_update_that_was_cut_short_is_recovered(person: Person) -> None:
    person.ok("pulumi config set gatehouse:slow yes")
    with subprocess.Popen(
        ("pulumi", "up", "--yes", "--skip-preview", "--non-interactive"),
        cwd=person.folder,
        env={**person.environment, "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ) as update:
        deadline = time.monotonic() + 120
        while not (person.folder / "pid").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(update.pid, signal.SIGKILL)
    person.ok("pulumi config rm gatehouse:slow")
    code, text = person.types("pulumi up")
    assert code != 0
    assert "the stack is currently locked" in text
    text = person.ok("make recover STACK=prod")
    assert text.count("Enter the passphrase") == 1
    assert "run again: updating slow (command:local:Command)" in text
    person.ok("pulumi preview --diff")


def test_a_lock_is_taken_away(person: Person) -> None:
    locks = Path(person.environment["HOME"]) / ".gatehouse-state" / ".pulumi" / "locks"
    place = locks / "organization" / "gatehouse" / "prod" / "6a3f3a3e.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("{}")
    assert person.types("pulumi up")[0] != 0
    person.ok("pulumi cancel")
    person.ok("pulumi up")


def test_everything_is_destroyed_and_the_config_stays(person: Person) -> None:
    text = person.ok("pulumi destroy")
    assert "pulumi stack rm" in text, "which would delete Pulumi.prod.yaml, so README says how"
    before = config(person)
    person.ok("pulumi stack rm --preserve-config")
    assert config(person)["config"] == before["config"]
