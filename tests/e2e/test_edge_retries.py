"""How often an application is asked when a request fails, through both tiers."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.loopback.site import Site, a_site
from lab.loopback.vm import Vm, vms
from remote.edge_agent.system import poll
from tests.support.containers import App
from tests.support.two_tiers import curl, running

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="the edge's HAProxy is started by root: run this as root"
)
SHOP = "http://shop.example.org"
STATUSES = ("502", "503", "504")


@pytest.fixture
def site() -> Iterator[Site]:
    with a_site() as made:
        yield made


def serve(site: Site, machines: list[Vm], apps: list[App], **http: object) -> None:
    """Spread the containers over the VMs, one after the other."""
    stack = site.stack({"shop": {"http": http}})
    counts: dict[str, int] = {}
    for number, app in enumerate(apps):
        vm = number % len(machines)
        machines[vm].add("shop", stack, app)
        counts[f"web-{vm}"] = counts.get(f"web-{vm}", 0) + 1
    servers = {f"web-{number}": vm.web for number, vm in enumerate(machines)}
    site.apply(stack, {"shop": servers}, {"shop": counts})


def asked(apps: list[App], request: str) -> list[int]:
    return sorted(app.asked[request] for app in apps)


@pytest.mark.parametrize(
    ("machines", "containers", "sticky", "wanted"),
    [
        (1, 1, False, [1]),
        (1, 2, False, [1, 1]),
        (1, 2, True, [0, 1]),
        (2, 2, False, [1, 1]),
        (2, 2, True, [1, 1]),
        (3, 3, False, [0, 1, 1]),
    ],
)
def test_a_get_that_fails_is_tried_once_more_and_only_elsewhere(
    site: Site, machines: int, containers: int, sticky: bool, wanted: list[int]
) -> None:
    apps = [App(f"app-{number}") for number in range(containers)]
    with vms(machines) as made, running(*apps):
        serve(site, made, apps, sticky=sticky)
        for status in STATUSES:
            assert curl(site, f"{SHOP}/status/{status}").status == int(status)
            assert asked(apps, f"GET /status/{status}") == wanted
            assert curl(site, f"{SHOP}/status/{status}", "--data", "x").status == int(status)
            assert sum(asked(apps, f"POST /status/{status}")) == 1


@pytest.mark.parametrize("machines", [1, 2])
def test_a_slow_504_is_not_waited_for_again_and_again(site: Site, machines: int) -> None:
    apps = [App("one"), App("other")]
    with vms(machines) as made, running(*apps):
        serve(site, made, apps)
        began = time.monotonic()
        assert curl(site, f"{SHOP}/late/504").status == 504
        assert time.monotonic() - began < 3.5, "1 s each"
        assert sum(asked(apps, "GET /late/504")) == 2


def test_a_get_that_one_vm_fails_is_answered_by_another(site: Site) -> None:
    good, bad = App("good"), App("bad")
    with vms(2) as made, running(good, bad):
        serve(site, made, [good, bad])
        bad.fails = 503
        for _ in range(10):
            answer = curl(site, f"{SHOP}/page")
            assert (answer.status, answer.json["name"]) == (200, "good")
    assert good.asked["GET /page"] == 10
    assert bad.asked["GET /page"] > 0


def test_a_vm_that_is_gone_costs_no_request(site: Site) -> None:
    apps = [App("one"), App("other")]
    with vms(2) as made, running(*apps):
        serve(site, made, apps)
        made[0].stop()
        for options in ((), ("--data", "x")) * 10:
            assert curl(site, SHOP, *options).status == 200


def test_a_preflight_needs_no_password(site: Site, tmp_path: Path) -> None:
    del tmp_path
    app = App("app")
    preflight = (
        *("--request", "OPTIONS", "--header", "Origin: https://other.example.org"),
        *("--header", "Access-Control-Request-Method: PUT"),
    )
    with vms(1) as made, running(app):
        password = "$5$salt$" + "a" * 43
        serve(site, made, [app], basic_auth={"alice": password})
        assert poll(lambda: curl(site, SHOP, *preflight).status == 200, 10)
        assert app.asked["OPTIONS /"] == 1
        for options in (
            ("--request", "OPTIONS"),
            preflight[:4],
            ("--request", "OPTIONS", *preflight[4:]),
            preflight[2:],
            ("--request", "PUT", *preflight[2:]),
        ):
            for more in ((), ("--http2-prior-knowledge",)):
                assert curl(site, SHOP, *options, *more).status == 401, options
