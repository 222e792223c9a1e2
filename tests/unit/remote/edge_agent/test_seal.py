"""What the edge agent reads is whole, or nothing is done with it."""

import base64
import contextlib
import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remote.edge_agent import __main__ as program
from remote.edge_agent import mark
from remote.edge_agent.bundle import Bundle, pack
from remote.edge_agent.instance import Instance
from remote.edge_agent.seal import opened, sealed
from remote.edge_agent.system import EdgeError
from remote.shipping import archive_command

texts = st.text(max_size=200)
TLS = {
    "domains": ["a.example.org", "*.example.org"],
    "folder": "/etc/letsencrypt/live",
    "certificates": [{"fullchain": "/srv/a.pem", "privkey": "/srv/b.pem"}],
    "self_signed": True,
    "acme": {"email": "ops@example.org", "directory": "https://acme.example.org/", "ca": None},
}
FACTS = {
    "listeners": [
        {"address": "192.0.2.9", "address_key": "edge.bind", "port": 80, "port_key": "edge.port"}
    ],
    "checks": [{"backend": "a", "host": "_a._http", "path": "/", "servers": {"w": "192.0.2.1:80"}}],
    "certificates": TLS,
    "users": "3c30201169cc604d",
    "max_connections": 5000,
}


def with_facts(given: str) -> str:
    files = {
        "routes.map": "a.example.org/ a\n*.example.org/ b\n",
        "errors/a-503.html": "<p>\u00e4</p>",
        "facts.json": given,
    }
    return pack(Bundle("global\n    user haproxy\n", files))


GOOD = with_facts(json.dumps(FACTS, indent=2))


@given(texts)
def test_a_whole_text_is_read_as_it_was_written(text: str) -> None:
    assert opened(sealed(text).encode()) == text


@given(texts, st.data())
def test_every_beginning_of_a_text_is_refused(text: str, data: st.DataObject) -> None:
    whole = sealed(text).encode()
    end = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(EdgeError, match=r"nothing was changed; run `pulumi up` again"):
        opened(whole[:end])


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda whole: whole + whole,
        lambda whole: whole.replace(b"\n", b"\r\n"),
        lambda whole: b"\xef\xbb\xbf" + whole,
        lambda whole: whole + b"\n",
        lambda whole: whole + b"more\n",
        lambda whole: whole[44:],
        lambda whole: whole.replace(b"global", b"Global"),
    ],
    ids=["twice", "line ends", "mark", "empty line", "more", "late", "changed"],
)
def test_what_is_not_as_it_was_sent_is_refused(spoilt: object) -> None:
    whole = sealed("global\n    user haproxy\n").encode()
    with pytest.raises(EdgeError):
        opened(spoilt(whole))  # type: ignore[operator]


def test_a_program_that_does_not_arrive_whole_is_not_run(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("print('done')\n")
    command = archive_command(program.read_bytes())
    text = base64.b64encode(program.read_bytes()).decode()
    assert text in command
    whole = subprocess.run(command, shell=True, capture_output=True, text=True)  # noqa: S602
    assert whole.stdout == "done\n", whole.stderr
    for end in range(0, len(text), 4):
        cut = subprocess.run(  # noqa: S602
            command.replace(text, text[:end] or "''"), shell=True, capture_output=True, text=True
        )
        assert cut.returncode != 0
        assert cut.stdout == ""
        assert "did not arrive whole" in cut.stderr, hashlib.sha256(cut.stderr.encode())


def test_the_edge_agent_reads_its_input_before_anything_is_made(tmp_path: Path) -> None:
    for action, *more in (("apply", "10"), ("users",)):
        folder = tmp_path / action
        done = subprocess.run(
            (sys.executable, "-m", "remote.edge_agent", action, folder, "test", *more),
            input=sealed("global\n")[:-44],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        assert done.stderr.startswith("edge test: the input ends early: ")
        assert not folder.exists()


def seal_bytes(text: bytes) -> bytes:
    return text + f"#= sha256:{hashlib.sha256(text).hexdigest()}\n".encode()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Return the text with some bytes or lines gone, twice, in another order or others."""
    text = GOOD.encode()
    for _ in range(draw(st.integers(1, 3))):
        lines = text.splitlines(keepends=True)
        at = draw(st.integers(0, len(lines) - 1)) if lines else 0
        line = lines[at] if lines else b""
        byte = draw(st.integers(0, max(0, len(line) - 1)))
        other = draw(st.integers(at, len(lines)))
        match draw(st.sampled_from(("flip", "cut", "drop", "twice", "swap", "put", "join", "end"))):
            case "flip":
                flipped = bytes([line[byte] ^ (1 << draw(st.integers(0, 7)))]) if line else b""
                lines[at : at + 1] = [line[:byte] + flipped + line[byte + 1 :]]
            case "cut":
                lines[at : at + 1] = [line[:byte]]
            case "drop":
                del lines[at:other]
            case "twice":
                lines[other:other] = lines[at : at + 1]
            case "swap":
                lines[at : at + 2] = lines[at : at + 2][::-1]
            case "put":
                more = draw(st.binary(max_size=8))
                lines[at : at + 1] = [line[:byte] + more + line[byte:]]
            case "join":
                lines[at : at + 1] = [line.rstrip(b"\n")]
            case _:
                lines = [*lines[:at], line[:byte]]
        text = b"".join(lines)
    return text


LISTENER, CHECK = FACTS["listeners"][0], FACTS["checks"][0]  # type: ignore[index]
ODD = {
    "listeners": (
        *(None, 7, "a", [7], [{}], [{**LISTENER, "more": 1}], [{**LISTENER, "address": 7}]),
        *([{**LISTENER, "port": odd}] for odd in ("80", 0, 65536, None, True)),
    ),
    "checks": (
        *(None, 7, "a", [7], [{}], [{**CHECK, "servers": {"w": 7}}], [{**CHECK, "host": None}]),
        *([{**CHECK, "servers": odd}] for odd in (None, 7, ["w"])),
    ),
    "certificates": (
        *(7, "a", {}, []),
        *({**TLS, key: odd} for key in TLS for odd in (7, [7], {"a": 1})),
    ),
    "users": (7, "../../x", "a", [], "3C30201169CC604D"),
    "max_connections": ("a", 0, -1, 1.5, True, []),
}
ODD_FACTS = (
    *("", "{", "null", "[]", "{}", "1", '"a"', "[" * 5000),
    *(json.dumps({name: each for name, each in FACTS.items() if name != key}) for key in FACTS),
    *(json.dumps({**FACTS, key: odd}) for key, some in ODD.items() for odd in some),
)


def refused(
    text: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str | None:
    """Return the message by which the edge agent refuses a text, or None if it would apply it."""
    applied: list[object] = []

    class Stdin:
        buffer = io.BytesIO(text)

    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdin", Stdin)
        patched.setattr(program, "apply", lambda *given: applied.append(given))
        patched.setattr(mark, "made", lambda *_: "")
        patched.setattr(Instance, "locked", lambda _: contextlib.nullcontext())
        code = program.main(["apply", str(folder), "test", "10"])
    assert not folder.exists(), "nothing is made for what is refused"
    told = capsys.readouterr().err
    if applied:
        assert (code, told) == (0, "")
        return None
    assert code == 1
    assert told.startswith("edge test: ")
    assert "run `pulumi up` again" in told
    assert told.count("\n") == 1, told
    return told


@given(damaged())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_text_is_refused_in_a_sentence_or_well_formed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: bytes,
) -> None:
    whole = sealed(GOOD).encode()
    if text != GOOD.encode():
        ending = whole[len(GOOD.encode()) :]
        assert refused(text + ending, tmp_path / "a", monkeypatch, capsys) is not None
    refused(seal_bytes(text), tmp_path / "b", monkeypatch, capsys)


@pytest.mark.parametrize("odd", ODD_FACTS)
def test_facts_that_are_none_are_refused_in_a_sentence(
    odd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = with_facts(odd).encode()
    told = refused(seal_bytes(text), tmp_path / "a", monkeypatch, capsys)
    assert told is not None
    assert "facts.json, the facts about haproxy.cfg, " in told


def test_an_input_without_facts_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = pack(Bundle("global\n", {})).encode()
    told = refused(seal_bytes(text), tmp_path / "a", monkeypatch, capsys)
    assert told is not None
    assert "facts.json, the facts about haproxy.cfg, is missing" in told
