from typing import Any

import pytest

from components.config.loading import parse
from components.service.labels import rule, traefik_labels, traefik_name
from tests.support import golden


def service(**changes: Any) -> Any:
    raw = {"image": "app:1", "hosts": ["a.example.org"], "port": 8080, **changes}
    config = {"farm": {"vms": 1, "image": "x"}, "services": {"app": raw}}
    return parse(config).services["app"]


def test_the_labels_of_a_service_with_everything() -> None:
    shop = service(
        hosts=["shop.example.org", "www.example.org", "*.shop.example.org"],
        path="/shop/",
        strip_path=True,
        health={"path": "/up", "interval": "1m", "timeout": "2s"},
    )
    labels = traefik_labels("shop", shop)
    golden.check("labels.txt", "".join(f"{key}={value}\n" for key, value in labels.items()))


def test_a_tcp_service_is_known_by_its_name_whatever_its_containers_are() -> None:
    raw = {"image": "db:1", "port": 5432, "tcp": {"port": 5432}}
    for changes in (
        {},
        {"tcp": {"port": 1, "proxy_protocol": True}},
        {"health": {"timeout": "1s"}},
    ):
        config = {"farm": {"vms": 1, "image": "x"}, "services": {"db": {**raw, **changes}}}
        db = parse(config).services["db"]
        labels, name = traefik_labels("db", db), traefik_name("db", db)
        assert labels[f"traefik.tcp.routers.{name}.rule"] == "HostSNI(`_db._tcp`)"
        assert labels[f"traefik.http.routers.{name}_check.rule"] == "Host(`_db._tcp`)"


def test_another_port_of_the_edge_is_no_other_container() -> None:
    one, other = (
        parse(
            {
                "farm": {"vms": 1, "image": "x"},
                "services": {"db": {"image": "db:1", "port": 1, "tcp": {"port": port}}},
            }
        ).services["db"]
        for port in (5432, 6432)
    )
    assert traefik_labels("db", one) == traefik_labels("db", other)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", "Host(`a.example.org`)"),
        ("/shop", "Host(`a.example.org`) && (Path(`/shop`) || PathPrefix(`/shop/`))"),
    ],
)
def test_a_path_means_itself_and_what_is_below(path: str, expected: str) -> None:
    chosen = "Header(`X-Gatehouse-Service`, `app`)"
    assert rule("app", ["a.example.org"], path) == f"{expected} && {chosen}"


def test_a_wildcard_means_one_label_more() -> None:
    wild = "HostRegexp(`^[^.]+\\.example\\.org[.]?$`)"
    assert rule("app", ["*.example.org"], "").startswith(f"{wild} && Header(")
    both = rule("app", ["a.example.net", "*.example.org"], "")
    assert both.startswith(f"(Host(`a.example.net`) || {wild}) && Header(")


def test_a_router_wins_over_those_of_the_first_version() -> None:
    app = service(hosts=["a.example.org", "*.example.org"], path="/shop")
    labels, name = traefik_labels("app", app), traefik_name("app", app)
    longest = 10_000 + 1024 + 1  # a whole domain's, and the longest path's
    assert int(labels[f"traefik.http.routers.{name}.priority"]) > longest


def test_traefik_does_not_see_a_path_that_the_edge_strips() -> None:
    app = service(path="/shop/", strip_path=True)
    labels, name = traefik_labels("app", app), traefik_name("app", app)
    assert "/shop" not in str(labels)
    assert labels[f"traefik.http.routers.{name}.middlewares"] == f"{name}_decode,{name}_retry"


def test_containers_that_say_something_else_are_another_service_to_traefik() -> None:
    before, after = service(), service(health={"path": "/up"})
    shared = traefik_labels("app", before).keys() & traefik_labels("app", after).keys()
    assert shared == {"traefik.enable"}, "Traefik drops what two containers describe differently"
    assert traefik_labels("app", service(image="app:2")) == traefik_labels("app", before)


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({}, "/"),
        ({"path": "/shop"}, "/shop"),
        ({"path": "/shop", "strip_path": True}, "/"),
        ({"path": "/shop", "health": {"path": "/up"}}, "/up"),
        ({"path": "/shop", "strip_path": True, "health": {"path": "/up"}}, "/up"),
    ],
)
def test_a_container_is_asked_for_its_health_path_wherever_that_is(
    changes: dict[str, Any], asked: str
) -> None:
    assert service(**changes).container_check_path == asked


def test_without_a_health_check_the_services_own_path_is_asked() -> None:
    app = service(path="/shop")
    key = f"traefik.http.services.{traefik_name('app', app)}.loadbalancer.healthcheck.path"
    assert traefik_labels("app", app)[key] == "/shop"
