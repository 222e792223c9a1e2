"""haproxy.cfg as text, from pools."""

from collections.abc import Iterable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

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
    """Return the whole haproxy.cfg.

    Args:
        pools: In any order; the text has them in the order in which requests are matched.
        edge: The edge's config.
        folder: The edge's own folder on its host, absolute.
    """
    return _TEMPLATES.get_template("haproxy.cfg.j2").render(
        pools=by_precedence(tuple(pools)), edge=edge, folder=folder
    )
