from typing import Any

import pytest

from components.config import parse
from components.service.labels import rule, traefik_labels
from tests.unit import golden


def service(**changes: Any) -> Any:
    raw = {"image": "app:1", "hosts": ["a.example.org"], "port": 8080, **changes}
    config = {"farm": {"vms": 1, "image": "x"}, "services": {"app": raw}}
    return parse(config).services["app"]


def test_the_labels_of_a_service_with_everything() -> None:
    shop = service(
        hosts=["shop.example.org", "www.example.org"],
        path="/shop/",
        health={"path": "/up", "interval": "1m", "timeout": "2s"},
    )
    labels = traefik_labels("shop", shop)
    golden.check("labels.txt", "".join(f"{key}={value}\n" for key, value in labels.items()))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "Host(`a.example.org`)"),
        ("/shop", "(Host(`a.example.org`)) && (Path(`/shop`) || PathPrefix(`/shop/`))"),
        ("/shop/", "(Host(`a.example.org`)) && (Path(`/shop`) || PathPrefix(`/shop/`))"),
    ],
)
def test_a_path_means_itself_and_what_is_below(path: str, expected: str) -> None:
    assert rule(service(path=path)) == expected


def test_without_a_health_check_the_services_own_path_is_asked() -> None:
    labels = traefik_labels("app", service(path="/shop"))
    assert labels["traefik.http.services.app.loadbalancer.healthcheck.path"] == "/shop"
