"""Invalid answers of Docker."""

import subprocess

import pytest

from remote.vm_agent import docker


def test_logs_that_docker_does_not_give_are_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def late(*_: object, timeout: float, **__: object) -> None:
        raise subprocess.TimeoutExpired("docker", timeout)

    monkeypatch.setattr(subprocess, "run", late)
    assert "cannot be read" in docker.last_lines("a")


def test_of_long_logs_the_end_is_shown_below_the_heading(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(*_: object, **__: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.CompletedProcess((), 0, f"{'x' * 9000}\nthe \x1b[2J end")

    monkeypatch.setattr(subprocess, "run", answer)
    shown = docker.last_lines("a")
    assert shown.startswith("\n  Its last log lines:\n...x")
    assert shown.endswith("x\nthe \ufffd[2J end")


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[", b'[{"Id": "a"', b"null", b"{}", b"[null]", b"[1]", b"[{}]", b"[" * 99_999),
        *(b'[{"Id": "a"}]', b'[{"Id": 1, "Created": 1}]', b'[{"Id": "a", "Created": null}]'),
        b'[{"Id": "a", "Created": 1, "Labels": "x"}]',
    ],
)
def test_a_list_of_docker_that_is_none_is_no_answer(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that it is asked again, and a join that fails is undone."""
    monkeypatch.setattr(docker, "ask", lambda *_: (200, body))
    with pytest.raises(docker.DockerError, match="it says 200"):
        docker.listed("x")
