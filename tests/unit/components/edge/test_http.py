"""What the edge does to a service's HTTP: the pure parts of it."""

import re
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime import rpc

from components.config.loading import parse
from components.config.models.edge import Edge
from components.config.models.http import Http, container_cookie, vm_cookie
from components.config.models.service import Service
from components.config.models.stack import Stack
from components.edge.backends import backend
from components.edge.domains import domains
from components.edge.haproxy import render
from components.edge.userlists import userlists
from components.service.labels import traefik_labels, traefik_name
from remote.edge_agent import facts, users
from remote.edge_agent.bundle import Bundle, unpack
from remote.edge_agent.checks import Check
from remote.edge_agent.system import EdgeError
from tests.support import golden, program
from tests.unit.test_fuzz import HAPROXY, haproxy_accepts

_NAME = re.compile(r"[a-c](-?(vm|[a-c])){0,3}")
HASH = f"$6$salt${'a' * 86}"


def stack(**services: dict[str, Any]) -> Stack:
    whole = {
        name: {"image": "a:1", "hosts": [f"{name}.example.org"], "port": 80, **changes}
        for name, changes in services.items()
    }
    return parse({"farm": {"vms": 1, "image": "x"}, "services": whole})


def service(**http: Any) -> Service:
    return stack(app={"http": http}).services["app"]


def given_to_the_edge(edge: Edge | None = None, **http: Any) -> Bundle:
    one = backend("app", service(**http), {"web-0": 1}, {"web-0": "192.0.2.1:80"})
    return render([one], edge or Edge(), "/srv/edge")


def rendered(edge: Edge | None = None, **http: Any) -> str:
    return given_to_the_edge(edge, **http).config


def test_the_domains_are_hosts_and_aliases_in_the_order_of_config() -> None:
    made = stack(
        b={"hosts": ["b.example.org", "*.b.example.org"], "http": {"aliases": ["b.example.net"]}},
        a={"hosts": ["a.example.org", "b.example.org"], "path": "/a"},
    )
    named = ("b.example.org", "*.b.example.org", "b.example.net", "a.example.org")
    assert domains(made.services.values()) == named
    backends = [backend(name, each, {}, {}) for name, each in made.services.items()]
    assert domains(backends) == named


def test_an_alias_redirects_to_the_port_of_the_edge() -> None:
    text = rendered(Edge(port=8080), aliases=["old.example.net"])
    assert "redirect prefix http://app.example.org:8080 code 301 if" in text
    assert "redirect prefix http://app.example.org code" in rendered(aliases=["old.example.net"])


def test_a_service_without_http_is_rendered_without_any_of_it() -> None:
    text = rendered()
    for word in ("peers", "cookie", "compression", "http-error", "acl app.a", "app max"):
        assert word not in text
    files = given_to_the_edge().files
    assert files.keys() == {"routes.map", "bodies.lua", "facts.json"}
    assert files["routes.map"] == "app.example.org/ app\n"
    assert "timeout client 60s" in text


def test_streams_may_be_silent_both_ways_for_as_long_as_their_service() -> None:
    assert "timeout client 60s" in rendered(timeout="1h"), "who only waits is not timed"
    assert "timeout client 3600s" in rendered(timeout="1h", protocol="h2c")
    assert "timeout client 60s" in rendered(timeout="1s", protocol="h2c")


def test_a_service_in_maintenance_asks_for_nothing_but_the_network() -> None:
    text = rendered(
        maintenance=True,
        allow=["192.0.2.0/24"],
        basic_auth={"a": HASH},
        rate_limit={"requests": 1, "per": "1s"},
        max_body="1MiB",
    )
    rules = [
        line.split()[1]
        for line in text.split("\nbackend app\n")[1].splitlines()
        if "http-request" in line
    ]
    assert rules[:3] == ["deny", "deny", "return"]
    assert "http_auth" not in text
    assert "track-sc0" not in text


def test_no_service_changes_the_room_that_others_have_for_headers() -> None:
    def tuning(text: str) -> list[str]:
        return [line for line in text.splitlines() if line.startswith("    tune.")]

    assert tuning(rendered(headers={"X-A": "a" * 2990})) == tuning(rendered())


def test_the_edge_asks_every_kind_of_service_alike_and_its_agent_asks_by_the_labels() -> None:
    expected = Check(
        backend="app", server="web-0", address="192.0.2.1:80", host="_app._http", path="/"
    )
    for made in (given_to_the_edge(), given_to_the_edge(protocol="h2c")):
        assert facts.read(made.files).checks == {expected}
    app = stack(app={"http": {"protocol": "h2c"}, "health": {"path": "/up"}}).services["app"]
    name = traefik_name("app", app)
    key = f"traefik.http.services.{name}.loadbalancer.healthcheck.path"
    assert traefik_labels("app", app)[key] == "/up"
    assert not [key for key in traefik_labels("app", service(protocol="h2c")) if "health" in key]


def test_a_cookie_keeps_its_name_when_the_labels_change() -> None:
    def cookie(app: Service) -> str:
        name = traefik_name("app", app)
        return traefik_labels("app", app)[
            f"traefik.http.services.{name}.loadbalancer.sticky.cookie.name"
        ]

    one, other = service(sticky=True), service(sticky=True, balance="leastconn")
    assert traefik_name("app", one) != traefik_name("app", other)
    assert cookie(one) == cookie(other) == "gatehouse-app"


@given(st.lists(st.from_regex(_NAME, fullmatch=True), unique=True, min_size=2))
def test_no_two_cookies_have_one_name(names: list[str]) -> None:
    made = [name for each in names for name in (container_cookie(each), vm_cookie(each))]
    assert len(set(made)) == len(made)


def test_a_service_is_not_taken_for_the_vms_of_another_one() -> None:
    text = rendered(sticky=True)
    assert f"cookie {vm_cookie('app')} insert" in text
    assert container_cookie("app-vm") not in text


def test_userlists_are_by_service_and_only_where_there_are_users() -> None:
    made = stack(a={}, b={"http": {"basic_auth": {"alice": HASH, "bob": HASH}}})
    assert userlists(made.services) == (
        f"userlist b\n    user alice password {HASH}\n    user bob password {HASH}\n\n"
    )
    assert userlists(stack(a={}).services) == ""


def test_userlists_are_kept_for_root_only_and_included_by_their_digest(tmp_path: Path) -> None:
    users.keep(tmp_path, "userlist b\n")
    digest = users.digest("userlist b\n")
    (kept,) = (tmp_path / "users").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    new = Bundle("global\n", {})
    assert users.included(tmp_path, new, digest).config == "global\n\nuserlist b\n"
    assert users.included(tmp_path, new, None).config == "global\n"
    users.keep(tmp_path, "userlist c\n")
    users.forget_others(tmp_path, digest)
    assert list((tmp_path / "users").iterdir()) == [kept]
    users.forget_others(tmp_path, None)
    assert list((tmp_path / "users").iterdir()) == []
    with pytest.raises(EdgeError, match=r"are not on this machine .*edge-users"):
        users.included(tmp_path, new, digest)


def test_the_users_are_a_secret_of_their_own_and_come_before_the_edge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plain = program.run(program.config())
    assert "edge-users" not in plain.resources
    run = program.run(program.config(services__hello__http={"basic_auth": {"alice": HASH}}))
    made = run.resources["edge-users"]
    assert rpc.is_rpc_secret(made.inputs["stdin"])
    assert HASH in rpc.unwrap_rpc_secret(made.inputs["stdin"])
    assert made.urn in run.resources["edge-haproxy"].options.dependencies
    others = {name: each.inputs for name, each in run.resources.items() if name != "edge-users"}
    assert HASH not in str(others)
    assert HASH not in str(run.outputs)
    other = program.run(
        program.config(services__hello__http={"basic_auth": {"alice": HASH.replace("a", "b")}})
    )
    assert other.edge_input != run.edge_input, "so that a change of users alone is taken up"


KEYS = [
    pytest.param({key: example}, id=f"{key}-{number}")
    for key, field in Http.model_fields.items()
    for number, example in enumerate(field.examples or ())
]


@pytest.mark.parametrize("http", KEYS)
def test_each_key_does_something_that_haproxy_accepts(http: dict[str, Any]) -> None:
    if "basic_auth" in http:
        http = {"basic_auth": {"alice": HASH}}
    made, plain = (stack(app={"http": given}).services["app"] for given in (http, {}))
    given = [
        backend("app", each, {"web-0": 1}, {"web-0": "192.0.2.1:80"}, each.http.error_pages)
        for each in (made, plain)
    ]
    edge, other = (render([each], Edge(), "/srv/edge") for each in given)
    assert edge != other or traefik_labels("app", made) != traefik_labels("app", plain)
    if HAPROXY is not None:
        haproxy_accepts(edge, "/srv/edge", userlists({"app": made}))


@pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed here")
def test_haproxy_accepts_the_edge_with_everything_on() -> None:
    text = (golden.FOLDER / "everything" / "edge.txt").read_text()
    users = f"userlist shop\n    user alice password {HASH}\n"
    haproxy_accepts(unpack(text), "/var/lib/gatehouse/test", users)
