"""The client's data in an application's requests and in the logs: real HAProxy, real Traefik."""

import contextlib
import dataclasses
import http.client
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from components.config.loading import parse
from components.config.models.edge import Edge, Stats, Tls
from components.edge.backends import backend
from components.edge.haproxy import render
from components.host.traefik import SERVICE_HEADER
from components.service.labels import traefik_labels, traefik_name
from lab import live
from lab.loopback.ports import free_ports
from lab.trust import context
from remote.edge_agent import timer
from remote.edge_agent.apply import apply
from remote.edge_agent.bundle import pack
from remote.edge_agent.instance import Instance
from remote.edge_agent.system import poll
from tests.support import traefik

HOST = "app.example.org"
CLIENT, NEIGHBOUR = "127.0.0.7", "127.0.0.9"
FORGED = {
    "X-Forwarded-For": "6.6.6.6",
    "X-Forwarded-Proto": "gopher",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "666",
    "X-Forwarded-Prefix": "/evil",
    "X_Forwarded_For": "6.6.6.6",
    "X.Forwarded.Proto": "gopher",
    "X-Real-Ip": "6.6.6.6",
    "Client-Ip": "6.6.6.6",
    "True-Client-Ip": "6.6.6.6",
    "Forwarded": "for=6.6.6.6;proto=gopher",
    "X-Request-Id": "evil",
    **dict.fromkeys(
        (
            *("X-Forwarded", "Forwarded-For", "Forwarded_Proto", "X-Original-Forwarded-For"),
            *("X-Original-URL", "X-Rewrite-Url", "X-Host", "X-Http-Host-Override", "Proxy"),
            *("Remote-User", "X_Remote_User", "REMOTE_ADDR", "X-Remote-Groups", "X-Remote-Ip"),
            *("X-WebAuth-User", "X-Authenticated-User", "X-Auth-Request-Email", "X-Authentik-Uid"),
            *("Ssl-Client-Cert", "X-SSL-Client-S-DN", "X-Client-Cert", "X-ARR-ClientCert"),
            *("Cf-Connecting-Ip", "Fastly-Client-Ip", "X-Envoy-External-Address", "ClientIP"),
            *("Wl-Proxy-Client-Ip", "Proxy-Client-IP", "X-ProxyUser-Ip", "Http-Client-Ip"),
            *("X-Gatehouse-Service", "X_Gatehouse_Service", "X-Replaced-Path"),
            *("Client-Cert", "Client-Cert-Chain", "X-TLS-Client-Subject", "WL-Proxy-Client-Cert"),
            *("X-Forward-For", "X-Originating-IP", "Akamai-Client-IP", "Fly-Client-IP"),
            *("X-Azure-SocketIP", "DO-Connecting-IP", "X-Nf-Client-Connection-Ip"),
            *("CF-Pseudo-IPv4", "X-Appengine-User-Ip", "X-Vercel-Proxied-Forwarded-For"),
            *("Proxy-Remote-User", "Remote-Roles", "AUTH_USER", "Gap-Auth"),
            *("X-Goog-Authenticated-User-Email", "X-Goog-IAP-JWT-Assertion"),
            *("X-Amzn-Oidc-Identity", "X-Amzn-Mtls-Clientcert", "X-MS-Client-Principal-Name"),
            *("Cf-Access-Authenticated-User-Email", "Tailscale-User-Login"),
            *("CloudFront-Forwarded-Proto", "Cf-Visitor", "HTTP_X_FORWARDED_FOR", "Cdn-Src-Ip"),
            *("Ali-CDN-Real-IP", "X-Cluster-Ip", "X-Source-Ip", "X-Real-Host", "X-Backend-Host"),
            *("Https", "X-Https", "X-Proto", "X-Protocol", "X-SSL-Cert", "iv-remote-address"),
            *("OIDC_CLAIM_email", "SM_USER", "iv-user", "Shib-Identity-Provider", "X-Vouch-User"),
            *("X-Cas-User", "Kerberos-User", "REDIRECT_REMOTE_USER"),
            *("SCRIPT_NAME", "X-Script-Name", "PATH_INFO", "X-Sendfile-Type", "X-Accel-Mapping"),
        ),
        "evil",
    ),
    # Names headers that the next proxy is to drop.
    "Connection": "X-Forwarded-For, X-Forwarded-Proto, X-Request-Id, X-Real-Ip",
}
SERVICES = {
    "app": {"image": "app:1", "hosts": [HOST], "port": 80, "health": {"path": "/health"}},
}

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="the edge's HAProxy is started by root: run this as root"
)


class Echo(BaseHTTPRequestHandler):
    """Answers with the headers that it got."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps([(name.lower(), value) for name, value in self.headers.items()]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def application() -> Iterator[int]:
    """Yield the port of one."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclasses.dataclass
class Site:
    """An edge, a Traefik behind it, and an application behind that."""

    instance: Instance
    config: Edge
    traefik: traefik.Started
    tls_port: int

    def apply(self, *, tls: bool = False, name: str = "web-0") -> None:
        """Put the edge into force, with its only VM called ``name``."""
        service = parse({"farm": {"vms": 1, "image": "x"}, "services": SERVICES}).services["app"]
        backends = [backend("app", service, {name: 1}, {name: self.traefik.web})]
        config = self.config if tls else self.config.model_copy(update={"tls": None})
        text = pack(render(backends, config, str(self.instance.folder)))
        with self.instance.locked():
            apply(self.instance, text, 30)

    @contextlib.contextmanager
    def connection(
        self, *, tls: bool = False, source: str = CLIENT
    ) -> Iterator[http.client.HTTPConnection]:
        """Yield a client's connection to the edge."""
        port = self.tls_port if tls else self.config.port
        made = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        made.sock = socket.create_connection(
            ("127.0.0.1", port), timeout=30, source_address=(source, 0)
        )
        if tls:
            trusted = context(self.instance.folder / live.CERTIFICATES)
            made.sock = trusted.wrap_socket(made.sock, server_hostname=HOST)
        with contextlib.closing(made):
            yield made

    def logged(self, identity: str) -> list[dict[str, Any]]:
        """Return the lines of the edge's log for a request, once there is any."""

        def lines() -> list[dict[str, Any]]:
            # HAProxy's own notices are in there, too.
            requests = [
                json.loads(line)
                for line in self.instance.access_log.read_text().splitlines()
                if line.startswith("{")
            ]
            return [line for line in requests if line["id"] == identity]

        assert poll(lambda: self.instance.access_log.exists() and bool(lines()), 10)
        return lines()

    def metrics(self, path: str) -> tuple[int, str]:
        """Ask the page of the edge."""
        made = http.client.HTTPConnection("127.0.0.1", self.config.stats.port, timeout=30)
        with contextlib.closing(made):
            made.request("GET", path)
            answer = made.getresponse()
            return answer.status, answer.read().decode()


def ask(
    connection: http.client.HTTPConnection, path: str = "/", **headers: str
) -> tuple[dict[str, list[str]], str]:
    """Return the headers that the application got, and the id that the answer has."""
    connection.request("GET", path, headers={"Host": HOST, **headers})
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, body
    got: dict[str, list[str]] = {}
    for name, value in json.loads(body):
        got.setdefault(name, []).append(value)
    return got, answer.headers["X-Request-Id"]


def is_told(got: dict[str, list[str]], client: str, scheme: str, port: int) -> None:
    """Check that nothing in an application's request about its client is forged."""
    assert got["x-forwarded-for"] == [client]
    assert got["x-real-ip"] == [client]
    assert got["x-forwarded-proto"] == [scheme]
    assert got["x-forwarded-host"] == [HOST]
    assert got["x-forwarded-port"] == [str(port)]
    assert len(got["x-request-id"]) == 1
    assert not [value for values in got.values() for value in values if "6.6.6.6" in value]
    assert not [value for values in got.values() for value in values if "evil" in value]
    assert not [value for values in got.values() for value in values if "gopher" in value]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    stats, port, tls_port = free_ports(3)
    service = parse({"farm": {"vms": 1, "image": "x"}, "services": SERVICES}).services["app"]
    # Not pytest's own folder, whose path is too long for a socket's.
    with tempfile.TemporaryDirectory() as folder, application() as listening:
        served = service.model_copy(update={"port": listening})
        labels = {traefik_name("app", served): dict(traefik_labels("app", served))}
        with traefik.serving(labels, "127.0.0.1", edge=("127.0.0.1",)) as started:
            made = Site(
                instance=Instance(f"{folder}/edge", "test-clients"),
                config=Edge(
                    bind="127.0.0.1",
                    port=port,
                    stats=Stats(port=stats),
                    tls=Tls(port=tls_port, self_signed=True),
                ),
                traefik=started,
                tls_port=tls_port,
            )
            made.apply()
            try:
                yield made
            finally:
                timer.stop(made.instance)
                made.instance.stop()


def test_the_application_sees_the_client_and_nothing_that_is_forged(site: Site) -> None:
    site.apply()
    with site.connection() as connection:
        got, identity = ask(connection, **FORGED)
    is_told(got, CLIENT, "http", site.config.port)
    assert got["x-request-id"] == [identity]


def test_no_client_talks_past_the_edge_by_an_upgrade_to_http2(site: Site) -> None:
    site.apply()
    upgrade = {"Connection": "Upgrade, HTTP2-Settings", "HTTP2-Settings": "AAMAAABkAAQ"}
    with site.connection() as connection:
        got, _ = ask(connection, Upgrade="h2c", **upgrade)
        assert not {"upgrade", "connection"} & set(got)
        got, _ = ask(connection, Upgrade="h2c", Connection="X-Real-Ip, upgrade")
        assert not {"upgrade", "connection"} & set(got)


def test_with_tls_it_sees_https(site: Site) -> None:
    site.apply(tls=True)
    with site.connection(tls=True) as connection:
        got, _ = ask(connection, **FORGED)
    is_told(got, CLIENT, "https", site.tls_port)


def test_what_is_redirected_has_an_id_and_a_line(site: Site) -> None:
    site.apply(tls=True)
    with site.connection() as connection:
        connection.request("GET", "/", headers={"Host": HOST})
        answer = connection.getresponse()
        assert answer.status == 301
        (line,) = site.logged(answer.headers["X-Request-Id"])
    assert (line["status"], line["scheme"], line["client"]) == (301, "http", CLIENT)


def test_what_a_leaving_worker_hands_over_keeps_client_scheme_and_id(site: Site) -> None:
    site.apply(tls=True, name="web-0")
    with site.connection(tls=True) as connection:
        ask(connection, **FORGED)
        site.apply(tls=True, name="web-1")
        got, identity = ask(connection, **FORGED)
    is_told(got, CLIENT, "https", site.tls_port)
    assert got["x-request-id"] == [identity]
    (line,) = site.logged(identity)
    assert (line["client"], line["scheme"], line["vm"]) == (CLIENT, "https", "web-1")


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_a_client_of_ipv4_is_none_of_ipv6_because_the_edge_listens_on_both(site: Site) -> None:
    (port,) = free_ports(1)
    both = dataclasses.replace(
        site, config=site.config.model_copy(update={"bind": "::", "port": port})
    )
    both.apply()
    with both.connection() as connection:
        got, identity = ask(connection)
    is_told(got, CLIENT, "http", port)
    assert site.logged(identity)[0]["client"] == CLIENT


def test_straight_to_traefik_nobody_but_the_edge_is_believed(site: Site) -> None:
    host, _, port = site.traefik.web.partition(":")
    made = http.client.HTTPConnection(host, int(port), source_address=(NEIGHBOUR, 0), timeout=30)
    with contextlib.closing(made):
        headers = {"Host": HOST, **FORGED, SERVICE_HEADER: "app"}
        made.request("GET", "/", headers=headers)
        got = dict(json.loads(made.getresponse().read()))
        assert got["x-real-ip"] == NEIGHBOUR
        assert got["x-forwarded-proto"] == "http"
        assert got["x-forwarded-host"] == HOST
        assert "x-forwarded-for" not in got
        made.request(
            "GET", "/metrics", headers={"Host": "_metrics", "X-Forwarded-For": "127.0.0.1"}
        )
        assert made.getresponse().status == 403


def test_one_id_leads_through_both_logs(site: Site) -> None:
    site.apply()
    agent = 'curl "7" \\ é'
    with site.connection() as connection:
        path = '/shop?q="{}\\'
        connection.putrequest("GET", path, skip_host=True)
        connection.putheader("Host", HOST)
        connection.putheader("User-Agent", agent.encode())
        connection.endheaders()
        answer = connection.getresponse()
        answer.read()
        identity = answer.headers["X-Request-Id"]
    (line,) = site.logged(identity)
    assert line["client"] == CLIENT
    assert (line["method"], line["host"], line["path"]) == ("GET", HOST, path)
    assert (line["status"], line["service"], line["agent"]) == (200, "app", agent)
    assert line["ms"]["total"] >= line["ms"]["response"] >= 0
    assert poll(lambda: identity in site.traefik.log.read_text(), 10)
    (inner,) = [
        json.loads(each) for each in site.traefik.log.read_text().splitlines() if identity in each
    ]
    assert inner["request_X-Request-Id"] == identity
    assert inner["DownstreamStatus"] == 200


def test_an_answer_of_the_edge_itself_has_an_id_too(site: Site) -> None:
    site.apply()
    with site.connection() as connection:
        connection.request("GET", "/", headers={"Host": "nobody.example.org"})
        answer = connection.getresponse()
        assert answer.status == 404
        (line,) = site.logged(answer.headers["X-Request-Id"])
    assert (line["status"], line["service"]) == (404, "_nowhere")


def test_the_page_and_the_metrics_of_both_tiers(site: Site) -> None:
    site.apply()
    with site.connection() as connection:
        ask(connection)
    status, page = site.metrics("/")
    assert status == 200
    assert "Statistics Report" in page
    status, own = site.metrics("/metrics")
    assert status == 200
    assert 'haproxy_server_status{proxy="app",server="web-0",state="UP"} 1' in own
    status, inner = site.metrics("/metrics/web-0")
    assert status == 200
    assert "traefik_service_requests_total" in inner
    for form in ("/;csv", "/;csv;norefresh", "/;json", "/?scope=app"):
        assert site.metrics(form)[0] == 200, form
    others = ("/", "/anything", "//", "/metrics", "/../web-0", ";x", "%20", "/%2e%2e/metrics")
    for other in (
        *(f"/metrics/{vm}" for vm in ("web-1", "WEB-0", "", "%77eb-0", ".", "/web-0")),
        *(f"{path}{more}" for path in ("/metrics", "/metrics/web-0") for more in others),
        *("/x", "//", "/index.html", "/metrics/certificates", "/;csv/x", "/stats", "//metrics"),
    ):
        assert site.metrics(other)[0] in {400, 404}, other
