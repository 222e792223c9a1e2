import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from components.config.loading import parse
from components.config.models.edge import Edge
from components.edge.backends import Backend, TcpBackend, any_backend, backend
from components.edge.haproxy import render
from components.edge.routes import MAP
from remote.edge_agent import bundle
from remote.edge_agent.bundle import pack
from remote.edge_agent.checks import Check
from remote.edge_agent.facts import FILE, read
from tests.support import golden
from tests.support.pems import Authority
from tests.support.readers import haproxy_sections

SERVICES = {
    "matomo": {
        "image": "matomo:5",
        "hosts": ["matomo.example.org"],
        "port": 80,
        "replicas": 3,
        "health": {"path": "/matomo.php", "interval": "30s"},
    },
    "shop": {
        "image": "shop:1",
        "hosts": ["matomo.example.org", "shop.example.org", "*.shop.example.org"],
        "path": "/shop",
        "port": 8080,
    },
}
ENTRYPOINTS = {"web-0": "10.90.0.10:80", "web-1": "10.90.0.11:80"}


def backends() -> list[Backend]:
    services = parse({"farm": {"vms": 2, "image": "x"}, "services": SERVICES}).services
    return [
        backend("matomo", services["matomo"], {"web-0": 2, "web-1": 1}, ENTRYPOINTS),
        backend("shop", services["shop"], {"web-0": 1}, ENTRYPOINTS),
    ]


def rendered(folder: str = "/var/lib/gatehouse/test") -> str:
    return render(backends(), Edge(), folder).config


def test_all_that_the_edge_is_given() -> None:
    golden.check("edge.txt", pack(render(backends(), Edge(), "/var/lib/gatehouse/test")))


def secure(**tls: Any) -> Edge:
    return Edge.model_validate({"port": 8080, "tls": {"folder": "/etc/letsencrypt/live", **tls}})


def test_all_that_the_edge_is_given_with_tls() -> None:
    edge = secure(port=8443, self_signed=True, acme={"email": "ops@example.org"})
    golden.check("edge-tls.txt", pack(render(backends(), edge, "/var/lib/gatehouse/test")))


def test_the_usual_port_is_not_in_the_redirect() -> None:
    text = render(backends(), secure(hsts=False), "/var/lib/gatehouse/test").config
    assert "location https://%[req.hdr(host),regsub(:[0-9]+$,)]%[pathq] code 301" in text
    assert "Strict-Transport-Security" not in text
    assert "acme-challenge" not in text


def test_a_leaving_workers_requests_are_routed_where_tls_has_ended() -> None:
    (https,) = (
        each
        for each in haproxy_sections(render(backends(), secure(), "/f").config)
        if each.heading == ["frontend", "https"]
    )
    assert [line[1] for line in https.called("bind")] == ["0.0.0.0:443", "unix@/f/next.sock"]
    assert https.called("use_backend")[0] == ["use_backend", "_next", "if", "{", "stopping", "}"]


def test_each_domain_is_a_line_with_its_service_and_no_other_line_tells_services_apart() -> None:
    assert render(backends(), Edge(), "/f").files[MAP].splitlines() == [
        "*.shop.example.org/shop/ shop",
        "matomo.example.org/ matomo",
        "matomo.example.org/shop/ shop",
        "shop.example.org/shop/ shop",
    ]


def test_more_services_make_no_more_work_of_a_request() -> None:
    def frontend(count: int) -> list[list[str]]:
        names = [f"app-{number}" for number in range(count)]
        raw = {
            name: {
                "image": "a:1",
                "port": 80,
                "path": f"/{name}",
                "hosts": [f"{name}.example.org", f"*.{name}.example.org"],
                "http": {"aliases": [f"{name}.example.net"]},
            }
            for name in names
        }
        services = parse({"farm": {"vms": 1, "image": "x"}, "services": raw}).services
        text = render(
            [backend(name, each, {}, {}) for name, each in services.items()], Edge(), "/f"
        ).config
        (found,) = (each for each in haproxy_sections(text) if each.heading == ["frontend", "http"])
        return found.lines

    assert frontend(1) == frontend(300)


def test_a_leaving_worker_asks_the_current_one_before_any_route_of_its_own() -> None:
    routes = [line.strip() for line in rendered().splitlines() if "use_backend" in line]
    assert routes[0] == "use_backend _next if { stopping }"


def test_a_leaving_worker_waits_for_the_current_one_as_long_as_it_lives() -> None:
    edge = Edge.model_validate({"hard_stop_after": "2h"})
    text = render(backends(), edge, "/f").config
    (section,) = (each for each in haproxy_sections(text) if each.heading == ["backend", "_next"])
    assert ["timeout", "server", "7200s"] in section.lines, "or it ends what a service may take"


def test_weights_fit_haproxy() -> None:
    services = parse({"farm": {"vms": 2, "image": "x"}, "services": SERVICES}).services
    many = backend("matomo", services["matomo"], {"web-0": 1024, "web-1": 1}, ENTRYPOINTS)
    assert [server.weight for server in many.servers] == [256, 1]


def tcp_backends() -> list[Backend | TcpBackend]:
    raw = {"mqtt": 1883, "http": 5432}
    config = {
        "farm": {"vms": 2, "image": "x"},
        "services": {
            name: {"image": "a:1", "port": 1, "tcp": {"port": port}} for name, port in raw.items()
        },
    }
    counts = {"web-0": 2, "web-1": 1}
    return [
        any_backend(name, service, counts, ENTRYPOINTS)
        for name, service in parse(config).services.items()
    ]


def test_tcp_changes_nothing_about_http() -> None:
    both = render([*tcp_backends(), *backends()], Edge(), "/var/lib/gatehouse/test")
    alone = render(backends(), Edge(), "/var/lib/gatehouse/test")
    assert both.config.startswith(alone.config)
    assert {**both.files, FILE: ""} == {**alone.files, FILE: ""}


def test_a_tcp_service_has_a_port_of_the_edge_and_no_section_of_http() -> None:
    sections = haproxy_sections(render(tcp_backends(), Edge(bind="192.0.2.1"), "/a").config)
    headings = [section.heading for section in sections]
    assert headings.count(["frontend", "http"]) == 1, "also with a service of that name"
    (frontend,) = [each for each in sections if each.heading == ["frontend", "tcp.http"]]
    assert frontend.called("bind") == [["bind", "192.0.2.1:5432"]]
    assert frontend.called("default_backend") == [["default_backend", "http"]]


@pytest.mark.parametrize("edge", [Edge(bind="192.0.2.1"), secure(port=8443)])
def test_the_facts_are_what_haproxy_reads(edge: Edge) -> None:
    given = render([*tcp_backends(), *backends()], edge, "/a")
    facts = read(given.files)
    asked: set[Check] = set()
    for section in haproxy_sections(given.config):
        for sent in section.called("http-check"):
            if sent[1] == "send":
                host, path = sent[sent.index("Host") + 1], sent[sent.index("uri") + 1]
        asked |= {
            Check(section.heading[1], words[1], words[2], host, path)
            for words in section.called("server")
            if section.called("http-check") and "backup" not in words
        }
    assert facts.checks == asked
    assert len(asked) == 7
    binds = [
        line[1] for section in haproxy_sections(given.config) for line in section.called("bind")
    ]
    assert [each.where for each in facts.listeners] == [
        where for where in binds if not where.startswith("unix@")
    ]


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed here")
@pytest.mark.parametrize("edge", [Edge(), secure(acme={"email": "ops@example.org"})])
@pytest.mark.parametrize("tcp", [False, True])
def test_haproxy_accepts_it(tmp_path: Path, edge: Edge, tcp: bool) -> None:
    (tmp_path / "servers.state").write_text("1\n")
    issued = Authority().issue(tmp_path / "live", "*.example.org")
    taken = render([*backends(), *(tcp_backends() if tcp else [])], edge, str(tmp_path))
    bundle.write(tmp_path / "files", taken.files)
    (tmp_path / "files" / "pem").write_text(
        "".join((issued / name).read_text() for name in ("fullchain.pem", "privkey.pem"))
    )
    (tmp_path / "files" / "certs.list").write_text(f"{tmp_path}/files/pem *.example.org\n")
    path = tmp_path / "haproxy.cfg"
    path.write_text(taken.config.replace(":80\n", ":8980\n"))
    result = subprocess.run(
        ["haproxy", "-c", "-f", path], check=False, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert "WARNING" not in result.stderr


def test_without_any_server_no_condition_names_an_acl_that_is_not_there() -> None:
    services = parse({"farm": {"vms": 1, "image": "x"}, "services": SERVICES}).services
    text = render(
        [backend("shop", services["shop"], {}, {})], Edge(), "/var/lib/gatehouse/t"
    ).config
    metrics = text.partition("backend _metrics\n")[2]
    assert "acl known" not in metrics
    assert "unless FALSE\n" in metrics
