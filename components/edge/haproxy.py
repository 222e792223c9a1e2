"""haproxy.cfg as text, from pools."""

from collections.abc import Iterable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from components.edge.pools import Pool, by_precedence

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    # What goes in passed an allow-list in components.config, and HTML's escapes mean nothing here.
    autoescape=False,  # noqa: S701
)


def render(
    pools: Iterable[Pool], *, folder: str, bind: str, port: int, hard_stop_after: int
) -> str:
    """Return the whole haproxy.cfg.

    Args:
        pools: In any order; the text has them in the order in which requests are matched.
        folder: The edge's own folder on its host, absolute.
        bind: The address to listen on.
        port: The port of HTTP.
        hard_stop_after: How long a worker that leaves may take, in seconds.
    """
    return _TEMPLATES.get_template("haproxy.cfg.j2").render(
        pools=by_precedence(tuple(pools)),
        folder=folder,
        bind=bind,
        port=port,
        hard_stop_after=hard_stop_after,
    )
