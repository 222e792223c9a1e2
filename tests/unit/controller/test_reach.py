"""How another machine is entered, with a program of our own in the place of ssh."""

import shlex
from pathlib import Path

import pytest

from controller import reach
from controller.reach import Gone, ReachError


@pytest.fixture
def ssh(tmp_path: Path) -> Path:
    return tmp_path / "ssh"


def answer(ssh: Path, code: int, said: str = "") -> list[str]:
    ssh.write_text(f"#!/bin/sh\necho {shlex.quote(said)} >&2\nexit {code}\n")
    ssh.chmod(0o755)
    return [str(ssh), "gatehouse@10.90.0.254", "sudo", "--non-interactive"]


def test_a_machine_with_a_python_will_do(ssh: Path) -> None:
    reach.check(answer(ssh, 0), "edge.host", "edge.example.org")


@pytest.mark.parametrize(
    ("key", "code", "said", "error", "message"),
    [
        (
            "edge.host",
            255,
            "@@ REMOTE HOST IDENTIFICATION HAS CHANGED\nHost key verification failed.",
            ReachError,
            "edge.host_key: e has a different host key, so nothing was changed there; if it was"
            " reinstalled, get its new key with `ssh-keyscan e`",
        ),
        (
            "edge.vm",
            255,
            "Host key verification failed.",
            Gone,
            "edge.vm: the machine at the address of e has a different host key; has another"
            " machine taken the address?",
        ),
        (
            "edge.host",
            255,
            "ops@e: Permission denied (publickey).",
            ReachError,
            "edge.user: e refuses this machine's SSH keys: ops@e: Permission denied"
            " (publickey).; add one of them to its authorized_keys",
        ),
        (
            "edge.host",
            255,
            "ssh: connect to host e port 22: No route to host",
            Gone,
            "edge.host: e does not answer over SSH: ssh: connect to host e port 22: No route to"
            " host",
        ),
        (
            "edge.host",
            1,
            "sudo: a password is required",
            ReachError,
            "edge.host: e cannot run the edge agent: sudo: a password is required; it needs"
            " python3 and, for users other than root, sudo without a password",
        ),
        (
            "edge.host",
            127,
            "bash: line 1: python3: command not found",
            ReachError,
            "edge.host: e cannot run the edge agent: bash: line 1: python3: command not found; it"
            " needs python3 and, for users other than root, sudo without a password",
        ),
    ],
)
def test_what_is_wrong_is_told_by_the_key_of_the_config(
    ssh: Path, key: str, code: int, said: str, error: type[ReachError], message: str
) -> None:
    with pytest.raises(error) as found:
        reach.check(answer(ssh, code, said), key, "e")
    assert str(found.value) == message
    assert type(found.value) is error


@pytest.mark.parametrize(("action", "code"), [("apply", 1), ("remove", 0)])
def test_one_that_is_gone_only_matters_to_what_is_to_be_put_there(
    ssh: Path, action: str, code: int
) -> None:
    words = answer(ssh, 255, "No route to host")
    environment = {
        "GATEHOUSE_SSH": shlex.join(words),
        "GATEHOUSE_KEY": "edge.vm",
        "GATEHOUSE_HOST": "web-edge",
    }
    seconds = ["10"] if action == "apply" else []
    arguments = [action, "/var/lib/gatehouse/test", "test", *seconds]
    assert reach.main(arguments, environment) == code


def test_one_that_never_answers_is_given_up(ssh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "_SECONDS", 0.2)
    words = answer(ssh, 0)
    ssh.write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(Gone, match=r"edge\.host: e does not answer over SSH within 0 s"):
        reach.check(words, "edge.host", "e")
