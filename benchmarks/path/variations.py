"""The cost or gain of each setting of the two tiers, by running them without it or with another.

A variation that no longer finds what it changes is an error, and not a measurement of nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.path.tiers import Otherwise
from lab.loopback.vm import Start

AS_DEPLOYED = "as deployed"


@dataclass(frozen=True, kw_only=True)
class Variation:
    """One thing that is otherwise."""

    name: str
    otherwise: Otherwise


def replaced(pattern: str, by: str) -> Callable[[str], str]:
    """Return what replaces a regular expression in haproxy.cfg, whose ``^`` and ``$`` are lines'.

    What it returns raises `ValueError` if there is no such line.
    """

    def change(text: str) -> str:
        changed, count = re.subn(pattern, by, text, flags=re.MULTILINE)
        if not count:
            raise ValueError(f"haproxy.cfg has no {pattern!r}")
        return changed

    return change


def without_flags(beginning: str) -> Callable[[Sequence[str]], Sequence[str]]:
    """Return what leaves out Traefik's flags that begin so.

    What it returns raises `ValueError` if there are none.
    """

    def change(flags: Sequence[str]) -> Sequence[str]:
        left = [flag for flag in flags if not flag.startswith(beginning)]
        if len(left) == len(flags):
            raise ValueError(f"Traefik has no flag {beginning!r}")
        return left

    return change


def with_flags(*more: str) -> Callable[[Sequence[str]], Sequence[str]]:
    """Return what adds flags to Traefik's, in place of those of the same name."""
    names = tuple(f"{flag.partition('=')[0]}=" for flag in more)
    return lambda flags: [*(flag for flag in flags if not flag.startswith(names)), *more]


def without_middlewares(labels: Mapping[str, str]) -> Mapping[str, str]:
    """Return labels without middlewares, of which retrying is the one that all services have."""
    left = {name: value for name, value in labels.items() if "middlewares" not in name}
    if len(left) == len(labels):
        raise ValueError("the labels have no middleware")
    return left


def _edge(name: str, pattern: str, by: str) -> Variation:
    return Variation(name=name, otherwise=Otherwise(edge=replaced(pattern, by)))


def _traefik(name: str, start: Start) -> Variation:
    return Variation(name=name, otherwise=Otherwise(start=start))


_REUSE = r"^    option idle-close-on-response$"
VARIATIONS = (
    Variation(name=AS_DEPLOYED, otherwise=Otherwise()),
    _edge("HAProxy: `http-reuse always`", _REUSE, r"\g<0>\n    http-reuse always"),
    _edge("HAProxy: no access log", r"^    log global$", "    no log"),
    _edge(
        "HAProxy: no headers removed by regular expressions",
        r"^ +http-re\w+ del-header '.*-m reg\n",
        "",
    ),
    _edge("HAProxy: one thread", r"^global$", "global\n    nbthread 1"),
    _edge("HAProxy: buffers of 32 KiB", r"^global$", "global\n    tune.bufsize 32768"),
    _traefik("Traefik: no access log", Start(flags=without_flags("--accesslog"))),
    _traefik(
        "Traefik: access log written in the request",
        Start(flags=without_flags("--accesslog.bufferingsize")),
    ),
    _traefik(
        "Traefik: access log of failures and retries only",
        Start(
            flags=with_flags(
                "--accesslog.filters.statuscodes=400-599", "--accesslog.filters.retryattempts=true"
            )
        ),
    ),
    _traefik(
        "Traefik: metrics of the entrypoint too",
        Start(flags=without_flags("--metrics.prometheus.addentrypointslabels")),
    ),
    _traefik("Traefik: no metrics", Start(flags=without_flags("--metrics"))),
    _traefik("Traefik: no retries", Start(labels=without_middlewares)),
    _traefik("Traefik: `GOGC=400`", Start(environment=("GOGC=400",))),
    _traefik("Traefik: `GOMAXPROCS=1`", Start(environment=("GOMAXPROCS=1",))),
    _traefik("Traefik: fast proxy", Start(flags=with_flags("--experimental.fastproxy=true"))),
)
