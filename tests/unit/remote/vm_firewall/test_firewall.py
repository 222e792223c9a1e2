"""The firewall of a VM: which rules grants come to, and what is refused."""

import contextlib
import errno
import ipaddress
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote.vm_firewall import __main__ as program
from remote.vm_firewall import firewall, kernel
from remote.vm_firewall.errors import FirewallError
from remote.vm_firewall.grant import Grant
from remote.vm_firewall.rules import fallback, ruleset
from tests.support.printed import own_prints

GRANT = Grant(ssh=("10.90.0.1/32",), edges=("10.90.0.1",), edge_ports="8000-8999")
CLIENT = "10.90.0.1 40000 10.90.0.10 22"


@pytest.fixture
def nft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Set up a VM without grants; return the rules that nft gets."""
    told: list[str] = []

    def run(words: tuple[str, ...], **options: str) -> subprocess.CompletedProcess[str]:
        if words[0] == "nft" and "--check" not in words:
            told.append(options["input"])
        return subprocess.CompletedProcess(words, 0, "")

    monkeypatch.setattr(firewall, "FOLDER", tmp_path)
    monkeypatch.setattr(firewall, "_UNIT_FILE", tmp_path / "gatehouse-firewall.service")
    monkeypatch.setattr("remote.vm_firewall.kernel.subprocess.run", run)
    return told


def allow(name: str, grant: Grant, client: str = CLIENT) -> int:
    return program.main(["allow", name, grant.to_json()], {"SSH_CONNECTION": client})


def accepted(rules: str) -> list[str]:
    """Return who gets in, beside answers and what a network cannot do without."""
    lines = [line.strip() for line in rules.splitlines()]
    return [line for line in lines if "tcp dport" in line]


def test_what_is_not_granted_is_dropped_before_docker_sees_it(nft: list[str]) -> None:
    assert allow("a", GRANT) == 0
    assert accepted(nft[-1]) == [
        "ip saddr { 10.90.0.1/32 } tcp dport 22 accept",
        "ip saddr { 10.90.0.1/32 } tcp dport 8000-8999 accept",
    ]
    chain = nft[-1].split("chain from_outside {")[1].split("}\n    chain")[0]
    assert "hook prerouting priority -160" in chain, "Docker's nat is at -100"
    assert chain.split("accept\n")[-1].strip() == "drop"


def test_the_next_grant_is_in_force_before_the_last_one_goes(nft: list[str]) -> None:
    moved = Grant(ssh=GRANT.ssh, edges=("10.90.0.254",), edge_ports="8000-8999")
    for code in (allow("a", GRANT), allow("b", moved)):
        assert code == 0
    assert [line for line in accepted(nft[-1]) if "8000" in line] == [
        "ip saddr { 10.90.0.1/32 } tcp dport 8000-8999 accept",
        "ip saddr { 10.90.0.254/32 } tcp dport 8000-8999 accept",
    ]
    assert program.main(["forbid", "a"]) == 0
    assert [line for line in accepted(nft[-1]) if "8000" in line] == [
        "ip saddr { 10.90.0.254/32 } tcp dport 8000-8999 accept",
    ]
    assert (firewall.FOLDER / "firewall.nft").read_text() == nft[-1], "for the next boot"
    assert program.main(["forbid", "a"]) == 0, "and again"


def test_who_brings_it_is_not_shut_out(nft: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert allow("a", GRANT, "192.0.2.77 40000 192.0.2.10 22") == 1
    assert capsys.readouterr().err == (
        "farm.ssh_from: would shut out this machine, which the VM sees as 192.0.2.77; add that"
        " (got 10.90.0.1/32)\n"
    )
    assert nft == []
    assert not list(firewall.FOLDER.rglob("*.json"))


def test_an_image_without_nftables_is_told(
    nft: list[str],  # noqa: ARG001 - the VM
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def missing(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr("remote.vm_firewall.kernel.subprocess.run", missing)
    assert allow("a", GRANT) == 1
    assert "farm.install_docker: the image has no nft" in capsys.readouterr().err


def test_what_nft_refuses_changes_nothing(
    nft: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert allow("a", GRANT) == 0
    before = (firewall.FOLDER / "firewall.nft").read_text()

    def refuse(words: tuple[str, ...], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(words, 1, "Error: syntax error")

    monkeypatch.setattr("remote.vm_firewall.kernel.subprocess.run", refuse)
    assert allow("b", Grant(ssh=GRANT.ssh, public=(80,))) == 1
    assert "nft refuses the firewall's rules:\nError: syntax error" in capsys.readouterr().err
    assert (firewall.FOLDER / "firewall.nft").read_text() == before
    assert len(nft) == 1


def test_the_last_grant_for_ssh_stays_for_ssh(nft: list[str]) -> None:
    assert allow("a", GRANT) == 0
    assert allow("b", Grant(public=(80,))) == 1, "no SSH at all"
    assert program.main(["forbid", "a"]) == 0
    assert accepted(nft[-1]) == ["ip saddr { 10.90.0.1/32 } tcp dport 22 accept"]
    assert program.main(["forbid", "a"]) == 0, "and again"
    assert accepted(nft[-1]) == ["ip saddr { 10.90.0.1/32 } tcp dport 22 accept"]
    moved = Grant(ssh=("10.90.0.0/30",))
    assert allow("b", moved) == 0
    assert program.main(["forbid", "a"]) == 0
    assert accepted(nft[-1]) == ["ip saddr { 10.90.0.0/30 } tcp dport 22 accept"]


def test_what_was_allowed_again_since_stays(nft: list[str]) -> None:
    marks = []
    for _ in range(2):
        with own_prints() as printed:
            assert allow("a", GRANT) == 0
        marks.append(printed.getvalue())
    before = nft[-1]
    for earlier in (marks[0], ""):
        with own_prints() as printed:
            assert program.main(["forbid", "a", "--printed", earlier]) == 0
        assert nft[-1] == before
        assert printed.getvalue() == "a was allowed again since, so it stays\n"
    assert program.main(["forbid", "a", "--printed", marks[1]]) == 0
    assert "8000" not in nft[-1]


def test_a_grant_without_a_mark_goes_whatever_was_printed(nft: list[str]) -> None:
    assert allow("a", GRANT) == 0
    file = firewall.FOLDER / "firewall" / "a.json"
    file.write_text(GRANT.to_json())  # as an older version wrote it
    assert program.main(["forbid", "a", "--printed", ""]) == 0
    assert "8000" not in nft[-1]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"{}", b"[]", b"null", b"\xff", b'{"ssh": 5, "edges": [], "public": []}', None],
)
def test_a_damaged_grant_is_named(
    nft: list[str], content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert allow("a", GRANT) == 0
    file = firewall.FOLDER / "firewall" / "b.json"
    file.mkdir() if content is None else file.write_bytes(content)
    assert allow("a", GRANT) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"{file}: is not a grant, so nothing was changed; delete it")
    assert len(nft) == 1
    if content is not None:
        assert allow("b", GRANT) == 0, "it is written again"


@pytest.mark.parametrize(
    "typed",
    [
        [],
        ["forbid"],
        ["remove", "a"],
        ["allowed", "a"],
        ["Allow", "a"],
        ["status", "a"],
        ["forbid", "a", "b"],
        ["forbid", "--help"],
        ["forbid", "*"],
        ["forbid", "../a"],
        ["allow", "a"],
        ["allow", "a", "{}"],
        ["allow", "a", "no JSON"],
        ["--help"],
    ],
)
def test_a_typo_changes_nothing(nft: list[str], typed: list[str]) -> None:
    assert allow("a", GRANT) == 0
    before = {each: each.read_text() for each in firewall.FOLDER.rglob("*") if each.is_file()}
    with pytest.raises(SystemExit):
        program.main(typed)
    assert len(nft) == 1
    assert before == {
        each: each.read_text() for each in firewall.FOLDER.rglob("*") if each.is_file()
    }


addresses = st.ip_addresses(v=4).map(str)
networks = st.tuples(addresses, st.integers(0, 32)).map(
    lambda pair: str(ipaddress.ip_network(f"{pair[0]}/{pair[1]}", strict=False))
)
grants = st.builds(
    Grant,
    ssh=st.lists(networks, min_size=1, max_size=4).map(tuple),
    edges=st.lists(addresses, max_size=4).map(tuple),
    edge_ports=st.just("8000-8999"),
    public=st.lists(st.integers(1, 65535), max_size=5, unique=True).map(tuple),
)


@given(grants)
def test_a_grant_is_read_back_as_it_was(grant: Grant) -> None:
    assert Grant.from_json(grant.to_json()) == grant


def files() -> dict[str, str]:
    """Return what is kept, without the lock."""
    return {
        str(each.relative_to(firewall.FOLDER)): each.read_text()
        for each in firewall.FOLDER.rglob("*")
        if each.is_file() and each.name != "lock"
    }


class KilledError(BaseException):
    """The program ends at once."""


@pytest.mark.parametrize("ends", ["fails", "is killed"])
@pytest.mark.parametrize("action", ["allow", "allow again", "forbid"])
def test_what_did_not_load_is_in_no_file(
    nft: list[str],  # noqa: ARG001 - the VM
    monkeypatch: pytest.MonkeyPatch,
    ends: str,
    action: str,
) -> None:
    assert allow("a", GRANT) == 0
    assert allow("b", Grant(ssh=GRANT.ssh, public=(80,))) == 0
    before = files()

    def load(_: str) -> None:
        raise KilledError if ends == "is killed" else FirewallError("netlink: busy")

    with monkeypatch.context() as patched, contextlib.suppress(KilledError):
        patched.setattr(kernel, "load", load)
        if action == "forbid":
            assert program.main(["forbid", "a"]) == 1
        else:
            wide = Grant(ssh=("0.0.0.0/0",), public=(443,))
            assert allow("a" if action == "allow again" else "c", wide) == 1
    assert {name: text for name, text in files().items() if "partial" not in name} == before


@pytest.mark.parametrize("number", range(3))
def test_a_full_disk_leaves_every_file_as_it_was(
    nft: list[str], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    assert allow("a", GRANT) == 0
    before, sync, left = files(), os.fsync, iter(range(number))

    def full(descriptor: int) -> None:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        assert allow("b", Grant(ssh=GRANT.ssh, public=(80,))) == 1
    assert files() == before
    assert len(nft) == 1, "and nothing new is in force"
    assert allow("b", Grant(ssh=GRANT.ssh, public=(80,))) == 0


def test_a_unit_that_was_not_enabled_is_enabled_by_the_next_command(
    nft: list[str],  # noqa: ARG001 - the VM
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran: list[tuple[str, ...]] = []

    def run(words: tuple[str, ...], **_: object) -> subprocess.CompletedProcess[str]:
        if words[0] == "systemctl":
            ran.append(words)
            if len(ran) == 1:
                raise subprocess.CalledProcessError(1, words)
            wants = firewall.FOLDER / "sysinit.target.wants"
            wants.mkdir()
            (wants / words[-1]).symlink_to(firewall.FOLDER / words[-1])
        return subprocess.CompletedProcess(words, 0, "")

    monkeypatch.setattr("remote.vm_firewall.kernel.subprocess.run", run)
    assert [allow("a", GRANT) for _ in range(3)] == [1, 0, 0]
    assert len(ran) == 2


def test_containers_do_not_reach_the_vm_when_only_ssh_is_answered() -> None:
    for rules in (ruleset([GRANT]), fallback([GRANT])):
        chain = rules.split("chain from_containers {")[1].split("}")[0]
        assert "hook input" in chain
        assert 'iifname "docker0"' in chain
        assert 'iifname "br-*"' in chain
    answers = fallback([GRANT]).split("chain answers {")[1].rpartition("}\n}")[0]
    assert answers.strip().endswith("drop")
    assert "ct state" not in fallback([GRANT]), "it needs little of the kernel"
