"""The units that systemd renews certificates by."""

import configparser
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote.archive import EDGE_AGENT, archive
from remote.edge_agent import systemd, timer
from remote.edge_agent.instance import Instance
from remote.edge_agent.timer import command, service_text, timer_text
from tests.support import golden

EDGE = Instance("/var/lib/gatehouse/prod", "prod")


def read(text: str) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(text)
    return unit


def test_the_edge_agent_that_stayed_with_the_edge_is_run() -> None:
    python, *rest = command(EDGE)
    folder = "/var/lib/gatehouse/prod"
    assert rest == [f"{folder}/keeper.pyz", "renew", folder, "prod"]
    service = read(service_text(EDGE))["Service"]
    assert service["Type"] == "oneshot"
    assert service["ExecStart"] == " ".join((python, *rest))


def test_every_hour_and_after_a_time_without_power() -> None:
    timer = read(timer_text(EDGE))
    assert timer["Timer"]["OnCalendar"] == "hourly"
    assert timer["Timer"]["Persistent"] == "true"
    assert timer["Install"]["WantedBy"] == "timers.target"


@pytest.mark.parametrize("text", ["service_text", "timer_text"])
def test_the_copy_that_stays_writes_the_same_units(tmp_path: Path, text: str) -> None:
    copy = tmp_path / "keeper.pyz"
    copy.write_bytes(archive(EDGE_AGENT))
    program = (
        f"import sys; sys.path[:] = [{str(copy)!r}, *sys.path[1:]];"
        f" from remote.edge_agent import timer; from remote.edge_agent.instance import Instance;"
        " print(timer.__file__);"
        f" print(timer.{text}(Instance({str(EDGE.folder)!r}, 'prod')), end='')"
    )
    told = subprocess.run(
        (sys.executable, "-c", program), capture_output=True, text=True, check=True, cwd=tmp_path
    )
    where, _, written = told.stdout.partition("\n")
    assert where.startswith(str(copy))
    assert written == getattr(timer, text)(EDGE)


def test_the_whole_units() -> None:
    started = ("python3", "/srv/prod/keeper.pyz", "link", "/srv/prod", "prod")
    unit = systemd.unit_text("prod", Path("/srv/prod"), ("haproxy", "-Ws"), started)
    texts = {"edge.service": unit, "renew.timer": timer_text(EDGE)}
    python = command(EDGE)[0]
    texts["renew.service"] = service_text(EDGE).replace(f"={python} ", "=python3 ")
    for name, text in texts.items():
        golden.check(name, text)


stacks = st.from_regex(r"[A-Za-z0-9_.-]{1,12}", fullmatch=True) | st.sampled_from(
    ("prod", "prod-renew", "prod-renew-renew", "renew", "prod.service", "prod.timer", "-", "@")
)


def units_of(stack: str) -> set[str]:
    made = Instance(f"/var/lib/gatehouse/{stack}", stack)
    return {made.unit, *timer.units(made)}


@given(stacks, stacks)
def test_no_two_stacks_share_a_unit(one: str, other: str) -> None:
    assert len(units_of(one)) == 3
    assert one == other or units_of(one).isdisjoint(units_of(other))


def test_the_edge_has_the_unit_that_the_documents_name() -> None:
    assert EDGE.unit == "gatehouse-prod.service"


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have systemd's units in a folder, and note what it is asked for."""
    made: list[str] = []

    def run(*command: str, **_: object) -> subprocess.CompletedProcess[str]:
        made.append(" ".join(command[1:]))
        return subprocess.CompletedProcess(command, 0, "no\n")

    monkeypatch.setattr(systemd, "UNITS", tmp_path)
    monkeypatch.setattr(systemd, "run", run)
    monkeypatch.setattr(timer, "run", run)
    return made


def under_systemd(name: str) -> Instance:
    made = Instance(f"/var/lib/gatehouse/{name}", name)
    made.under_systemd = True
    return made


OLD_SERVICE = "[Service]\nExecStart=/usr/bin/python3 {folder}/keeper.pyz renew {folder} {name}\n"


def test_units_by_their_first_names_go_at_an_update(tmp_path: Path, asked: list[str]) -> None:
    edge = under_systemd("prod")
    text = OLD_SERVICE.format(folder=edge.folder, name="prod")
    (tmp_path / "gatehouse-prod-renew.service").write_text(text)
    (tmp_path / "gatehouse-prod-renew.timer").write_text("[Timer]\n")
    timer.start(edge)
    assert {path.name for path in tmp_path.iterdir()} == set(timer.units(edge))
    assert "disable --now gatehouse-prod-renew.timer" in asked
    timer.stop(edge)
    assert list(tmp_path.iterdir()) == []


def test_the_edge_of_another_stack_by_such_a_name_stays(
    tmp_path: Path,
    asked: list[str],  # noqa: ARG001
) -> None:
    other = tmp_path / under_systemd("prod-renew").unit
    other.write_text(
        "[Service]\nExecStart=/usr/sbin/haproxy -Ws -f /srv/prod-renew/haproxy.cfg -p\n"
    )
    edge = under_systemd("prod")
    timer.start(edge)
    timer.stop(edge)
    assert [path.name for path in tmp_path.iterdir()] == [other.name]


def test_what_a_killed_run_left_of_the_units_goes(tmp_path: Path, asked: list[str]) -> None:
    edge = under_systemd("prod")
    service, name = timer.units(edge)
    for left in ([service], [name], [service, name]):
        asked.clear()
        for each in left:
            (tmp_path / each).write_text(service_text(edge) if each == service else "")
        timer.stop(edge)
        assert list(tmp_path.iterdir()) == []
        assert asked[-1] == "daemon-reload"


def test_systemd_reads_units_that_a_killed_run_had_written(
    tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    systemd.write_units({"a.service": "[Service]\n"})
    assert asked.count("daemon-reload") == 1
    systemd.write_units({"a.service": "[Service]\n"})
    assert asked.count("daemon-reload") == 1, "nothing is new"

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        asked.append(" ".join(command[1:]))
        return subprocess.CompletedProcess(command, 0, "yes\n" if "show" in command else "")

    monkeypatch.setattr(systemd, "run", run)
    systemd.write_units({"a.service": "[Service]\n"})
    assert asked.count("daemon-reload") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a.service"]
