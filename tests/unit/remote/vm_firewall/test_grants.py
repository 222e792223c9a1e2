"""Which grants are in force, whatever Pulumi has recorded of the commands that bring them."""

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from remote.vm_firewall import firewall, kernel
from remote.vm_firewall.firewall import allow, forbid, leftovers
from remote.vm_firewall.grant import Grant
from remote.vm_firewall.kept import KeptGrant
from tests.support.bookkeeping import STEPS, Commands, play

HERE = Grant(ssh=("10.90.0.1/32",), edges=("10.90.0.1",), edge_ports="8000-8999")
OTHER = Grant(ssh=("10.90.0.1/32",), edges=("10.90.0.7",), edge_ports="8000-8999")
NETWORKS = ("10.0.0.0/8", "192.0.2.0/24", "198.51.100.0/24")


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have a VM with nothing; gives the rules that were loaded."""
    told: list[str] = []
    monkeypatch.setattr(firewall, "FOLDER", tmp_path)
    monkeypatch.setattr(firewall, "_UNIT_FILE", tmp_path / "unit")
    monkeypatch.setattr(kernel, "check", lambda _: None)
    monkeypatch.setattr(kernel, "load", told.append)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: None)
    return told


def clear() -> None:
    for each in (firewall.FOLDER / "firewall").glob("*.json"):
        each.unlink()


def answered(rules: str) -> set[str]:
    """Return the networks from which SSH is answered."""
    lines = [line for line in rules.splitlines() if "tcp dport 22 accept" in line]
    return {each for line in lines for each in line.split("{ ")[1].split(" }")[0].split(", ")}


@example(["create", "lost update", "delete"])
@example(["lost create", "create", "replace", "lost update", "delete"])
@given(STEPS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_grant_is_in_force_as_pulumis_bookkeeping_has_it(
    loaded: list[str], steps: list[str]
) -> None:
    clear()
    allow("other", OTHER)
    commands = Commands(
        lambda printed: allow("a", HERE, printed=printed), lambda printed: forbid("a", printed)
    )
    recorded = play(steps, commands)
    assert ("ip saddr { 10.90.0.1/32 } tcp dport 8000" in loaded[-1]) == recorded
    assert (firewall.FOLDER / "firewall" / "a.json").exists() == recorded


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc"), st.sampled_from(NETWORKS))))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ssh_is_answered_from_what_is_granted_or_was_last(
    loaded: list[str], steps: list[tuple[bool, str, str]]
) -> None:
    clear()
    granted: dict[str, tuple[str, str]] = {}
    last: set[str] = set()
    for allowed, name, network in steps:
        if allowed:
            mark = allow(name, Grant(ssh=(network,), public=(80,)))
            granted[name] = (network, mark)
        elif name in granted:
            forbid(name, granted.pop(name)[1])
        else:
            forbid(name)
        last = {network for network, _ in granted.values()} or last
        if last:
            assert answered(loaded[-1]) == last
        assert ("tcp dport { 80 } accept" in loaded[-1]) == bool(granted)


@pytest.mark.parametrize("older", [True, False])
def test_narrowed_networks_are_in_force_after_a_destruction(loaded: list[str], older: bool) -> None:
    """`pulumi destroy --exclude-protected`, then a narrower farm.ssh_from, then `pulumi up`."""
    wide = Grant(ssh=("192.0.2.0/24",), edges=("192.0.2.1",), edge_ports="8000-8999")
    forbid("a", allow("a", wide))
    assert answered(loaded[-1]) == {"192.0.2.0/24"}, "nobody is shut out"
    file = firewall.FOLDER / "firewall" / "a.json"
    if older:
        kept = json.loads(file.read_text())
        del kept["leftover"]
        file.write_text(json.dumps(kept))
    mark = allow("b", Grant(ssh=("192.0.2.1/32",), edges=("192.0.2.1",), edge_ports="8000-8999"))
    assert answered(loaded[-1]) == {"192.0.2.1/32"}
    assert not file.exists()
    forbid("b", mark)
    assert answered(loaded[-1]) == {"192.0.2.1/32"}


def test_of_two_leftovers_the_last_one_stays() -> None:
    old, new, real = (KeptGrant(grant=HERE, leftover=each) for each in (True, True, False))
    assert leftovers({"a": old, "b": new}, "b") == {"a"}
    assert leftovers({"a": old, "b": real}, "a") == {"a"}
    assert leftovers({"a": old}, "a") == set()
    no_ssh = KeptGrant(grant=Grant(public=(80,)))
    assert leftovers({"a": old, "b": no_ssh}, "b") == set()


@pytest.mark.parametrize("mark", ["\0" * 16, "", "0123", None, 7, ["x"], {}])
def test_a_grant_with_a_damaged_mark_goes(loaded: list[str], mark: object) -> None:
    allow("other", OTHER)
    allow("a", HERE)
    file = firewall.FOLDER / "firewall" / "a.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "mark": mark}))
    assert forbid("a", "0123456789abcdef") == ""
    assert not file.exists()
    assert "{ 10.90.0.1/32 } tcp dport 8000" not in loaded[-1]
