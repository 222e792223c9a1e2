"""An edge that is a VM, for real: systemd, its journal, its address, and the way there and back.

In the lab of the scenarios before, whose VMs are there. With E2E_LONG=1 the edge's own VM is also
cut off and replaced, which is two boots more.
"""

import re

import pytest

from lab.bench.measured_lab import until
from tests.support.driver import LAB, Driver, long

ADDRESS = "10.90.0.254"
UNIT = f"gatehouse-{LAB}.service"


SIZE = {"vcpus": 1, "memory": "512MiB", "disk": "4GiB"}
ON_VM = {"edge.bind": "0.0.0.0", "edge.vm": SIZE}  # noqa: S104 - its own machine
HERE = {"edge.bind": "198.18.0.1", "edge.vm": False}


@pytest.fixture(scope="module", autouse=True)
def before(driver: Driver) -> None:
    """Have VMs and an edge on this machine: the lab's, or new ones if this file is run alone."""
    driver.brought_up()


def on_edge(driver: Driver, *command: str) -> str:
    done = driver.edge.there(*command)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_vm_is_the_edge_and_every_container_answers_through_it(driver: Driver) -> None:
    vms = driver.outputs()["vms"]
    driver.configure(ON_VM)
    result = driver.ok("up")
    assert f"through the edge at {ADDRESS}:443: 200" in result.last_line
    driver.smoke()
    found = driver.outputs()
    assert found["vms"] == vms
    assert found["edge"]["vm"] == "web-edge"
    assert re.search(r"^web-0 .* hello UP$", driver.ok("status").text, re.MULTILINE)
    left = driver.datacentre.root / "fs/var/lib/gatehouse" / LAB / "haproxy.cfg"
    assert not left.exists(), "the edge on this machine has gone"


def test_people_get_onto_it_as_onto_the_others(driver: Driver) -> None:
    done = driver.make_ssh("VM=web-edge", "CMD=hostname; id -un")
    assert (done.returncode, done.stdout) == (0, "web-edge\ngatehouse\n"), done.stderr


def test_systemd_keeps_it_and_the_distributions_own_is_off(driver: Driver) -> None:
    assert on_edge(driver, "systemctl", "is-active", UNIT).strip() == "active"
    assert on_edge(driver, "systemctl", "is-enabled", UNIT).strip() == "enabled"
    assert driver.edge.there("systemctl", "is-enabled", "haproxy.service").returncode != 0
    assert driver.edge.there("systemctl", "is-active", "haproxy.service").returncode != 0
    verified = driver.edge.there("systemd-analyze", "verify", UNIT)
    assert UNIT not in verified.stdout + verified.stderr, "nothing to say against it"
    assert "Loading success." in on_edge(driver, "journalctl", "--unit", UNIT, "--no-pager")


def test_a_second_up_changes_nothing(driver: Driver) -> None:
    before = driver.facts()
    driver.ok("up")
    assert driver.facts() == before


def test_a_change_behind_it_loses_nothing(driver: Driver) -> None:
    with driver.losing_nothing():
        driver.ok("scale", "--service", "hello", "--replicas", "4")
        assert driver.edge.reload()
        driver.ok("scale", "--service", "hello", "--replicas", "3")
    driver.smoke()


@pytest.mark.parametrize("victim", ["worker", "master"])
def test_systemd_brings_back_what_was_killed(driver: Driver, victim: str) -> None:
    killed = driver.edge.process(victim)
    assert killed is not None
    on_edge(driver, "kill", "-9", killed)
    assert until(lambda: driver.edge.process(victim) not in (killed, None), 30) is not None
    assert until(driver.all_up, 30) is not None
    driver.smoke()


@long
def test_it_comes_back_at_its_address_when_its_power_was_cut(driver: Driver) -> None:
    before = driver.facts()
    driver.inside("virsh", "destroy", driver.domain("web-edge"))
    driver.ok("up")
    driver.smoke()
    assert driver.facts().domains == before.domains


@long
def test_a_larger_one_takes_over_the_address(driver: Driver) -> None:
    before = driver.facts()
    driver.configure({"edge.vm": SIZE | {"memory": "640MiB"}})
    driver.ok("up")
    driver.smoke()
    after = driver.facts()
    assert driver.outputs()["edge"]["address"] == f"{ADDRESS}:443"
    assert after.containers == before.containers
    assert len(set(after.domains.values()) - set(before.domains.values())) == 1


def test_back_to_this_machine_nothing_of_it_is_left(driver: Driver) -> None:
    network = driver.inside("virsh", "--quiet", "net-list", "--name").strip()
    assert f"ip='{ADDRESS}'" in driver.inside("virsh", "net-dumpxml", network)
    driver.configure(HERE)
    driver.ok("up")
    driver.smoke()
    assert driver.outputs()["edge"] == {"address": "198.18.0.1:443"}
    assert not [name for name in driver.facts().domains if name.startswith("web-edge")]
    assert f"ip='{ADDRESS}'" not in driver.inside("virsh", "net-dumpxml", network)
    assert driver.left_over() == []
