"""haproxy.cfg and the files beside it, from backends."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from components.config.models.edge import Edge
from components.config.models.http import container_cookie, vm_cookie
from components.edge import replies, shapes, tls
from components.edge.backends import Backend, TcpBackend
from components.edge.domains import domains
from components.edge.facts import STATISTICS, facts, listeners, tcp_frontend
from components.edge.quoting import quoted, quoted_format
from components.edge.routes import ALIAS, MAP, routes
from components.host.traefik import ENCODED_PERCENT, METRICS_HOST, SERVICE_HEADER
from remote.edge_agent import bundle, chroot
from remote.edge_agent import facts as fact_file
from remote.edge_agent.bundle import Bundle
from remote.edge_agent.challenges import PATH as CHALLENGE_PATH
from remote.edge_agent.tls import LIST
from remote.edge_agent.versions import CHALLENGES, STATUS

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    # All values have passed an allow-list in components.config, and HAProxy knows no HTML escapes.
    autoescape=False,  # noqa: S701 # nosec B701
)
_TEMPLATES.filters |= {
    "quoted": quoted,
    "quoted_format": quoted_format,
    "vm_cookie": vm_cookie,
    "container_cookie": container_cookie,
    "tcp_frontend": tcp_frontend,
}

_TELLTALE = ("server", "x-powered-by", "x-aspnet-version", "x-aspnetmvc-version")
"""Headers of answers that only help to find vulnerable software."""

_PROXIES_ONLY = (
    *("x.gatehouse.*", "x.replaced.path", "x.request.id"),
    *(".*forwarded.*", "x.forward.for", "http.x.*"),
    *("x.original.*", "x.rewrite.*", "x.(url.)?scheme", "(x.)?script.name", "path.info"),
    *("(x.)?https", "x.proto(col)?", "x.host", "x.(real|backend).host", "x.http.host.override"),
    *("(.*.)?(client|src|source|cluster|real|originating).?ip", "x.azure.socket.?ip"),
    *("((cf|do).|x.nf.client.)connecti(ng|on).ip(v6)?", "cf.(pseudo.ipv4|visitor)"),
    *("x.appengine.*", "x.envoy.*", "x.proxyuser.ip"),
    *("(.*.)?remote.(addr|address|ip|host|port)",),
    *("(.*.)?remote.(user|groups?|roles?|name|email|ident)", "(http.)?auth.user"),
    *("x.(authenticated|webauth|authentik|vouch|cas|sso|saml|kerberos).*", "x.auth.request.*"),
    *("gap.auth", "oidc.*", "shib.*", "sm.user.*", "iv.(user|groups|creds).*", "kerberos.*"),
    *("x.goog.(authenticated.user|iap).*", "x.amzn.(oidc|mtls).*", "x.ms.client.principal.*"),
    *("cf.access.(authenticated|jwt).*", "tailscale.user.*", "(x.)?(ssl|tls).(client|cert).*"),
    *("(x.)?client.(cert|dn|verify).*", "wl.proxy.*", "x.arr.*", "x.sendfile.type"),
    *("x.accel.(mapping|redirect)", "front.end.https", "proxy"),
)
"""Patterns of the request headers that only a proxy may set, because applications trust them: the
client's address, scheme and host, and the user that a proxy has authenticated. A dot stands for `-`
or `_`, which CGI and its successors do not distinguish."""

_NOT_IN_URLS = tuple(f"{ord(each):02X}" for each in '"<>\\^`{|}')
"""The codes of printable characters that clients send although RFC 3986 allows them in no path."""
BODIES = "bodies.lua"
"""The script below the edge's ``files`` that limits request bodies."""

_CUT = ("408", "413")
"""The statuses with which the script answers."""

_CLIENT_TIMEOUT = 60

_REWRITE = 8192
"""Bytes for the headers that are added here: `HEADER_BYTES` of a service's, and the edge's own."""
_BUFFER = 65_536 + _REWRITE + 8192
"""Bytes of a buffer: headers of 64 KiB, and HAProxy's own record of each header."""
_RESPELT = _BUFFER - 4096
"""Most bytes of a request's headers after the edge has encoded its path. The rest of the buffer is
for HAProxy's own record of each header (500 times 8 bytes) and for the headers that the edge adds
(500 bytes, and a path)."""

_ACCESS_LOG = {
    "time": "%Ts.%ms",
    "id": '"%[var(txn.id)]"',
    "client": '"%[src,regsub(^::ffff:,)]"',
    "method": '"%[capture.req.method,json(utf8s)]"',
    "scheme": '"%[var(txn.scheme)]"',
    "host": '"%[var(txn.host),regsub([^ -~],?,g),bytes(0,255),json(utf8s)]"',
    "path": '"%[capture.req.uri,json(utf8s)]"',
    "protocol": '"%HV"',
    "agent": '"%[var(txn.agent),bytes(0,255),json(utf8s)]"',
    "status": "%ST",
    "bytes": "%B",
    "service": '"%b"',
    "vm": '"%s"',
    "ms": '{"request":%TR,"queue":%Tw,"connect":%Tc,"response":%Tr,"total":%Ta}',
    "retries": '"%rc"',
    "end": '"%ts"',
}
"""One line of JSON per request: each key with HAProxy's expression. Values that a client chooses
are escaped and cut, so that a line fits into the 4096 bytes that a pipe keeps together (PIPE_BUF):
twice 1,024 of the path and 255 of the host, three times 255 of the agent, 600 of the rest."""

_TCP_LOG = {
    "time": "%Ts.%ms",
    "client": '"%[src,regsub(^::ffff:,)]"',
    "bytes": "%B",
    "sent": "%U",
    "service": '"%b"',
    "vm": '"%s"',
    "ms": '{"queue":%Tw,"connect":%Tc,"total":%Tt}',
    "retries": '"%rc"',
    "end": '"%ts"',
}
"""The same for each connection of a TCP service, logged when it ends."""


FALLBACK = "_fallback"
"""The end of a fallback's name: each VM's second server, for when no check passes."""


def render(
    backends: Iterable[Backend | TcpBackend], edge: Edge, folder: str, users: str = ""
) -> Bundle:
    """Return haproxy.cfg with the files beside it.

    Args:
        backends: In the order of the config. HTTP keeps it; TCP is sorted by port.
        edge: The edge's config.
        folder: The edge's own folder on its host, absolute.
        users: The digest of the userlists, which the edge agent has; empty if there are none.
    """
    given = tuple(backends)
    http = tuple(each for each in given if isinstance(each, Backend))
    tcp = sorted(
        (each for each in given if isinstance(each, TcpBackend)), key=lambda each: each.port
    )
    vms = {server.name: server.address for backend in given for server in backend.servers}
    listening = listeners(edge, tcp)
    config = _TEMPLATES.get_template("haproxy.cfg.j2").render(
        backends=http,
        tcp_backends=tcp,
        listeners=listening,
        statistics=STATISTICS,
        edge=edge,
        folder=folder,
        chroot=chroot.FOLDER,
        next_socket=f"{folder}/{chroot.NEXT}",
        peers_socket=f"{folder}/{chroot.PEERS}",
        certificates=f"{folder}/{bundle.FOLDER}/{LIST}",
        routes=f"{folder}/{bundle.FOLDER}/{MAP}",
        challenges=f"{folder}/{bundle.FOLDER}/{CHALLENGES}",
        challenge_path=CHALLENGE_PATH,
        certificate_metrics=f"{folder}/{bundle.FOLDER}/{tls.METRICS}",
        alias=ALIAS,
        profile=tls.INTERMEDIATE,
        redirect=edge.tls and tls.redirect(edge.tls),
        vms=dict(sorted(vms.items())),
        metrics_host=METRICS_HOST,
        service_header=SERVICE_HEADER,
        encoded_percent=ENCODED_PERCENT,
        fallback=FALLBACK,
        access_log=_json(_ACCESS_LOG),
        tcp_log=_json(_TCP_LOG),
        limited=any(backend.http.rate_limit for backend in http),
        telltale=_TELLTALE,
        not_in_urls=_NOT_IN_URLS,
        proxies_only=_PROXIES_ONLY,
        shapes=shapes,
        replaced=replies.REPLACED,
        counts_bodies=any(backend.http.counts_bodies for backend in http),
        bodies=f"{folder}/{bundle.FOLDER}/{BODIES}",
        buffer=_BUFFER,
        rewrite=_REWRITE,
        respelt=_RESPELT,
        client_timeout=_client_timeout(http),
    )
    known = fact_file.text(facts(given, edge, listening.values(), users))
    return Bundle(config, {**_files(http, edge, folder), fact_file.FILE: known})


def _client_timeout(backends: Iterable[Backend]) -> int:
    """Return the longest timeout: a stream may be silent both ways for as long as its service."""
    streams = (backend.http.timeout for backend in backends if backend.http.protocol == "h2c")
    return max((_CLIENT_TIMEOUT, *streams))


def _files(backends: tuple[Backend, ...], edge: Edge, folder: str) -> dict[str, str]:
    found = {MAP: _lines(routes(backends))}
    if any(backend.http.counts_bodies for backend in backends):
        script = Path(__file__).with_name("templates") / BODIES
        found[BODIES] = f"{_cut_pages(backends, folder)}\n{script.read_text()}"
    if edge.tls is not None:
        known = f"{folder}/{bundle.FOLDER}/{STATUS}"
        found |= {STATUS: "", tls.METRICS: _lines(tls.metrics(domains(backends), known))}
        if edge.tls.acme is not None:
            found[CHALLENGES] = ""
    replies = (reply for backend in backends for reply in backend.replies)
    return found | {reply.file: reply.text for reply in replies if reply.file is not None}


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _cut_pages(backends: Iterable[Backend], folder: str) -> str:
    """Return the line of Lua that lists the error pages of `bodies.lua`."""
    files = (
        f"{folder}/{bundle.FOLDER}/{reply.file}"
        for backend in backends
        for reply in backend.replies
        if reply.file is not None and reply.status in _CUT
    )
    return f"local PAGES = {{ {', '.join(map(json.dumps, files))} }}"


def _json(line: Mapping[str, str]) -> str:
    return ",".join(f'"{key}":{value}' for key, value in line.items())
