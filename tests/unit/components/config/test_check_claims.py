"""Domains of many services are checked in steps that grow as the config does."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from components.config import checks
from components.config.loading import ConfigError, parse
from components.config.models.stack import Stack
from components.data import guard, inventory
from tests.support.configs import another, changed

HOSTS, VMS = 25, 20


def farm(services: int) -> dict[str, Any]:
    """Return a config whose services have as much in common as is allowed."""
    vms = [f"web-{index}" for index in range(VMS)]
    return {
        "farm": {"vms": VMS, "image": "/a", "network": {"cidr": "10.0.0.0/16"}},
        "services": {
            f"s{index}": {
                "image": "a:1",
                "port": 80,
                "path": f"/p{index}",
                "placement": {"vms": vms},
                "hosts": [
                    *(f"h{number}.example.org" for number in range(HOSTS // 2)),
                    *(f"*.d{number}.example.org" for number in range(HOSTS // 2)),
                    "*.example.org",
                ],
                "http": {"aliases": [f"a{number}.s{index}.example" for number in range(HOSTS)]},
            }
            for index in range(services)
        },
    }


def folders(count: int) -> dict[str, Any]:
    """Return a config with that many folders, and a volume in each."""
    volumes = [{"path": f"/at/{index}", "host": f"/f{index}/x"} for index in range(count)]
    return {
        "farm": {
            "vms": 1,
            "image": "/a",
            "volume_folders": [f"/f{index}" for index in range(count)],
        },
        "services": {
            name: {"image": "a:1", "port": 80, "hosts": [f"{name}.example.org"], "volumes": each}
            for name, each in (("a", volumes), *((f"s{index}", []) for index in range(count)))
        },
    }


def steps(stack: Stack) -> int:
    """Count the lines that the checks run, and those of functions that they call."""
    return counted(lambda: list(checks.across(stack)) == [])


def counted(work: Callable[[], bool]) -> int:
    """Count the lines that something runs, which has to come out true."""
    count = 0

    def trace(_: FrameType, event: str, __: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        assert work()
    finally:
        sys.settrace(before)
    return count


def test_twice_the_services_take_twice_the_steps() -> None:
    few, many = (steps(parse(farm(services))) for services in (8, 16))
    assert many < 2.2 * few


def test_twice_the_folders_take_twice_the_steps() -> None:
    few, many = (steps(parse(folders(count))) for count in (400, 800))
    assert many < 2.2 * few


def test_twice_the_volumes_are_guarded_in_twice_the_steps() -> None:
    def guarded(count: int) -> int:
        stack = parse(folders(count))
        placed = {name: {"web-0": 1} for name in stack.services}
        there = inventory.wanted(stack, "test", placed)
        return counted(lambda: guard.problems(there, there, stack) == ())

    few, many = (guarded(count) for count in (60, 120))
    assert many < 2.2 * few


class Counted(str):
    """A domain that counts how often it is compared."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_domains_are_looked_up_and_not_compared_with_all_others() -> None:
    stack = parse(farm(20))
    services = {
        name: service.model_copy(
            update={"hosts": tuple(Counted(f"{name}-{host}") for host in service.hosts[:-1])}
        )
        for name, service in stack.services.items()
    }
    Counted.compared = 0
    list(checks.across(stack.model_copy(update={"services": services})))
    assert Counted.compared < 10 * 20 * HOSTS


def test_a_wildcard_is_shadowed_once_however_many_domains_do_it() -> None:
    raw = changed("services/shop", another(hosts=["*.example.org"], path="/a/b"))
    raw["services"]["app"]["hosts"] = [f"h{number}.example.org" for number in range(9)]
    with pytest.raises(ConfigError) as error:
        parse(raw)
    assert error.value.problems == (
        "services.shop.path: is shadowed by services.app, which takes all of / on h0.example.org,"
        " and a domain wins over *.example.org (got /a/b)",
    )


def test_a_domain_of_the_same_service_or_below_the_path_shadows_nothing() -> None:
    raw = changed("services/app/hosts", ["a.example.org", "*.example.org"])
    raw["services"]["app"]["path"] = "/a"
    raw["services"]["shop"] = another(hosts=["b.example.org"], path="/a/b/c")
    assert parse(raw)
