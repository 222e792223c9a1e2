"""The units that systemd renews certificates by."""

import configparser

from components.edge.keeper.instance import Instance
from components.edge.keeper.timer import command, service_text, timer_text

EDGE = Instance("/var/lib/gatehouse/prod", "prod")


def read(text: str) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(text)
    return unit


def test_the_keeper_that_stayed_with_the_edge_is_run() -> None:
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
