"""The files that Traefik reads: written when they are wrong, and whole."""

import json
import subprocess
from pathlib import Path

import pytest

from remote.vm_agent import traefik_files


@pytest.mark.parametrize("cut", [0, 10, 300])
def test_a_certificate_that_is_not_whole_is_made_again(tmp_path: Path, cut: int) -> None:
    (tmp_path / "traefik").mkdir()
    traefik_files.write_files(tmp_path)
    whole = (tmp_path / "pair.json").read_text()
    assert "PRIVATE KEY" in json.loads(whole)["keyFile"]
    assert "CERTIFICATE" in json.loads(whole)["certFile"]
    (tmp_path / "pair.json").write_text(whole[:cut])
    traefik_files.write_files(tmp_path)
    assert "CERTIFICATE" in json.loads((tmp_path / "pair.json").read_text())["certFile"]


@pytest.mark.parametrize(
    "document", ["[]", "{}", "null", '{"certFile": 1, "keyFile": "x"}', "[" * 9999]
)
def test_a_certificate_that_is_none_is_made_anew(tmp_path: Path, document: str) -> None:
    (tmp_path / "pair.json").write_text(document)
    assert "-----BEGIN CERTIFICATE-----" in traefik_files.certificate(tmp_path)
    assert json.loads((tmp_path / "pair.json").read_text())["keyFile"].startswith("-----BEGIN ")


def test_without_a_certificate_traefik_gets_its_file_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = subprocess.CompletedProcess((), 0, stdout="", stderr="")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: nothing)
    assert traefik_files.certificate(tmp_path) == ""


def test_the_file_for_traefik_is_left_alone_if_it_is_right(tmp_path: Path) -> None:
    file = tmp_path / "traefik" / "nowhere.yml"
    file.parent.mkdir()
    traefik_files.write_files(tmp_path)
    before, text = file.stat(), file.read_text()
    assert text.startswith(traefik_files.NOWHERE)
    traefik_files.write_files(tmp_path)
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    file.write_text("old")
    traefik_files.write_files(tmp_path)
    assert file.read_text() == text, "and the certificate is the same"
    assert sorted(each.name for each in file.parent.iterdir()) == ["nowhere.yml", "users"]
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600


def test_without_openssl_traefik_makes_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert traefik_files.certificate(tmp_path) == ""
    assert "Traefik makes its own certificates" in capsys.readouterr().out
