"""haproxy.cfg as text, from pools."""

from collections.abc import Iterable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from components.edge import tls
from components.edge.domains import domains
from components.edge.keeper import parts
from components.edge.pools import Pool, by_precedence
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


def render(pools: Iterable[Pool], edge: Edge, folder: str) -> str:
    """Return the whole haproxy.cfg, and in comments what else the edge is to know.

    Args:
        pools: In the order of the config; the text has them in the order in which requests are
            matched.
        edge: The edge's config.
        folder: The edge's own folder on its host, absolute.
    """
    pools = tuple(pools)
    text = _TEMPLATES.get_template("haproxy.cfg.j2").render(
        pools=by_precedence(pools),
        edge=edge,
        folder=folder,
        certificates=f"{folder}/{parts.FOLDER}/{tls.CERTIFICATES}",
        profile=tls.INTERMEDIATE,
        redirect=edge.tls and tls.redirect(edge.tls),
    )
    if edge.tls is not None:
        text += parts.fact_line(tls.NAME, tls.spec(edge.tls, domains(pools)))
    return text
