"""Answers and files of a kind that the agent does not expect: it goes on, and says what it is."""

import http.server
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remote.vm_agent import agent


@pytest.mark.parametrize("token", [b"", b"\xff\xfe\x00", None])
def test_a_token_that_cannot_be_read_is_made_anew(tmp_path: Path, token: bytes | None) -> None:
    file = tmp_path / "token"
    if token is None:
        file.mkdir()
    else:
        file.write_bytes(token)
    made = agent.login(tmp_path)
    assert made == agent.login(tmp_path)
    assert len(file.read_text()) > 32


@pytest.mark.parametrize(
    "document", ["[]", "{}", "null", '{"certFile": 1, "keyFile": "x"}', "[" * 9999]
)
def test_a_certificate_that_is_none_is_made_anew(tmp_path: Path, document: str) -> None:
    (tmp_path / "pair.json").write_text(document)
    assert "-----BEGIN CERTIFICATE-----" in agent.certificate(tmp_path)
    assert json.loads((tmp_path / "pair.json").read_text())["keyFile"].startswith("-----BEGIN ")


def test_without_a_certificate_traefik_gets_its_file_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = subprocess.CompletedProcess((), 0, stdout="", stderr="")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: nothing)
    assert agent.certificate(tmp_path) == ""


@pytest.fixture(name="api")
def _api() -> Iterator[Any]:
    class Api(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.server.body)  # type: ignore[attr-defined]

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Api) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def container(**labels: str) -> agent.Container:
    return agent.inspected(
        json.dumps(
            {
                "Id": "a" * 64,
                "State": {"Running": True, "Pid": 1, "Paused": False, "StartedAt": "now"},
                "NetworkSettings": {"Networks": {"n": {"IPAddress": "127.0.0.1"}}},
                "Config": {"Labels": labels},
            }
        ).encode()
    )


@pytest.mark.parametrize(
    ("body", "servers"),
    [
        (b"null", None),
        (b"[]", None),
        (b'"x"', None),
        (b'{"loadBalancer": null}', []),
        (b'{"loadBalancer": [1]}', None),
        (b'{"loadBalancer": {"servers": null}}', []),
        (b'{"loadBalancer": {"servers": 1}}', None),
        (b'{"loadBalancer": {"servers": [1, null, {"url": "u"}]}}', [{"url": "u"}]),
    ],
)
def test_a_traefik_that_answers_oddly_is_silent(api: Any, body: bytes, servers: object) -> None:
    api.body = body
    traefik = container(**{agent.TRAEFIK_LABEL: str(api.server_port)})
    assert agent.known_servers(traefik, container(), {}) == servers


@pytest.mark.parametrize("port", ["", "x", "-1", "1" * 9, "٣"])
def test_a_container_whose_label_is_no_port_is_no_traefik(port: str) -> None:
    assert not container(**{agent.TRAEFIK_LABEL: port}).is_traefik


@pytest.mark.parametrize(
    "event",
    [
        *(b"null", b"[]", b"1", b"x", b"[" * 99_999, b'{"Actor": null}'),
        b'{"Actor": {"ID": "a"}, "Action": null}',
        b'{"Actor": {"ID": []}, "Action": "die"}',
    ],
)
def test_an_odd_event_of_docker_does_not_end_the_agents_attention(
    event: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = threading.Event()
    asked: list[bytes] = []

    class Docker(agent.DockerConnection):
        def request(self, *_: object, **__: object) -> None:
            if asked:
                again.set()
                threading.Event().wait()

        def getresponse(self) -> Any:
            asked.append(event)
            return self

        def readline(self) -> bytes:
            return event + b"\n"

    monkeypatch.setattr(agent, "DockerConnection", Docker)
    (tmp_path / "members.json").write_text("[]")
    threading.Thread(target=agent.Agent(tmp_path).follow_docker, daemon=True).start()
    assert again.wait(20)


def test_a_request_that_fails_oddly_is_answered(tmp_path: Path) -> None:
    class Odd:
        def join(self, *_: object) -> None:
            raise KeyError("traefik.http.services.x")

    path = tmp_path / "control.sock"
    with agent.UnixServer(path, agent.Control, Odd()) as server:  # type: ignore[arg-type]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for words in (("join", "a", "1"), ("join",), ("leave", "a"), ("evacuate", "x"), ("",)):
            with pytest.raises(agent.AgentError):
                agent.ask(tmp_path, *words)
        server.shutdown()


def test_a_check_that_cannot_be_made_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = threading.Event()
    tries: list[float] = []

    def no_threads(self: agent.Container, timeout: float) -> str | None:  # noqa: ARG001
        tries.append(timeout)
        if len(tries) == 1:
            raise RuntimeError("can't start new thread")
        done.set()
        return None

    monkeypatch.setattr(agent.Container, "call_problem", no_threads)
    found = container(**{agent.INTERVAL_LABEL: "0.01s"})
    daemon = agent.Agent(tmp_path)
    daemon._asked[found.id] = asking = object()
    threading.Thread(target=daemon._ask_on, args=(found, asking), daemon=True).start()
    assert done.wait(20)
    daemon._hide(found.id)


def test_logs_that_docker_does_not_give_are_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def late(*_: object, timeout: float, **__: object) -> None:
        raise subprocess.TimeoutExpired("docker", timeout)

    monkeypatch.setattr(subprocess, "run", late)
    assert "cannot be read" in agent.last_lines("a")


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
    monkeypatch.setattr(agent, "ask_docker", lambda *_: (200, body))
    with pytest.raises(agent.DockerError, match="it says 200"):
        agent.listed("x")


def test_a_member_keeps_its_mark_in_the_file(tmp_path: Path) -> None:
    members = agent.Members(tmp_path / "members.json")
    members.put("a", None)
    mark = members.mark("a")
    members.put("a", "now")
    (again,) = agent.Members(tmp_path / "members.json")
    assert (again.healthy_since, again.mark) == ("now", mark)
