"""haproxy.cfg as text, from pools."""

from collections.abc import Iterable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from components.edge import tls
from components.edge.domains import domains
from components.edge.keeper import parts
from components.edge.pools import Pool, by_precedence
from components.host.traefik import METRICS_HOST
from components.models.edge import Edge

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    # What goes in passed an allow-list in components.config, and HTML's escapes mean nothing here.
    autoescape=False,  # noqa: S701
)


_ACCESS_LOG = {
    "time": "%Ts.%ms",
    "id": '"%[var(txn.id)]"',
    "client": '"%[src,regsub(^::ffff:,)]"',
    "method": '"%[capture.req.method,json(utf8s)]"',
    "scheme": '"%[var(txn.scheme)]"',
    "host": '"%[var(txn.host),bytes(0,255),json(utf8s)]"',
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
"""One line of JSON per request: each key with HAProxy's expression. What a client chooses is
escaped and cut, so that a line is whole within the 8192 bytes that the log takes."""


def render(pools: Iterable[Pool], edge: Edge, folder: str) -> str:
    """Return the whole haproxy.cfg, and in comments what else the edge is to know.

    Args:
        pools: In the order of the config; the text has them in the order in which requests are
            matched.
        edge: The edge's config.
        folder: The edge's own folder on its host, absolute.
    """
    pools = tuple(pools)
    vms = {server.name: server.address for pool in pools for server in pool.servers}
    text = _TEMPLATES.get_template("haproxy.cfg.j2").render(
        pools=by_precedence(pools),
        edge=edge,
        folder=folder,
        certificates=f"{folder}/{parts.FOLDER}/{tls.CERTIFICATES}",
        profile=tls.INTERMEDIATE,
        redirect=edge.tls and tls.redirect(edge.tls),
        vms=dict(sorted(vms.items())),
        metrics_host=METRICS_HOST,
        access_log=",".join(f'"{key}":{value}' for key, value in _ACCESS_LOG.items()),
    )
    if edge.tls is not None:
        text += parts.fact_line(tls.NAME, tls.spec(edge.tls, domains(pools)))
    return text
