"""The chapter of growth, from its raw data. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.chapters import Bar, Chapter, Plot, Series, series_of
from benchmarks.stats import Spread, ratio, spread
from benchmarks.tables import median_range, number, table

_KIB = 1024
_MOST_OF_FIRST = 1.2
"""How much more a request to the last service may cost than to the first, noise included."""

Point = Mapping[str, Any]


def chapter(raw: Mapping[str, Any]) -> Chapter:
    """Return the chapter."""
    points: list[Point] = raw["points"]
    return Chapter(
        title="Growth",
        text="\n\n".join(
            [
                "The edge has more and more services, each on two VMs. A *server* is a line of"
                " haproxy.cfg: one service on one VM. `haproxy -c` reads the whole configuration."
                " A reload lasts from the command to the first answer of the new worker, whose"
                " memory is given. *Checks* is the load of HAProxy without requests, in processors:"
                " it checks each server every 0.8 s. *First* and *last* are the processor time of a"
                " request to the first and to the last service in haproxy.cfg, over kept"
                " connections, without TLS and checks, which would hide the cost of routing.",
                table(
                    (
                        *("servers", "haproxy.cfg, KiB", "`haproxy -c`, ms", "reload, ms"),
                        *("memory, MiB", "checks, processors", "first, µs", "last, µs"),
                    ),
                    [_row(point) for point in points],
                ),
            ]
        ),
        meaning=(_meaning(points),),
        bars=(_bar(points),),
        plots=(_times(points), _routing(points)),
    )


def _meaning(points: Sequence[Point]) -> str:
    most = points[-1]
    return (
        f"**Many services.** With {most['lines']:,} servers in haproxy.cfg, a reload takes"
        f" {number(spread(most['reload_seconds']).median)} s, and HAProxy needs"
        f" {number(spread(most['resident_bytes']).median / _KIB**2)} MiB of memory. Routing a"
        f" request costs {_routing_cost(most)} µs of processor time, and"
        f" {_routing_cost(points[0])} µs with {points[0]['lines']:,} servers."
    )


def _routing_cost(point: Point) -> str:
    return number(spread(point["cpu_seconds_per_request"]["last"]).median * 1e6)


def _row(point: Point) -> Sequence[str]:
    return (
        f"{point['lines']:,}",
        number(spread(point["config_bytes"]).median / _KIB),
        median_range(spread(point["check_seconds"]).scaled(1e3)),
        median_range(spread(point["reload_seconds"]).scaled(1e3)),
        number(spread(point["resident_bytes"]).median / _KIB**2),
        number(spread(point["idle_cores"]).median),
        *(
            median_range(spread(point["cpu_seconds_per_request"][which]).scaled(1e6))
            for which in ("first", "last")
        ),
    )


def _bar(points: Sequence[Point]) -> Bar:
    most = points[-1]["cpu_seconds_per_request"]
    least = points[0]["cpu_seconds_per_request"]
    last = ratio(most["last"], least["first"])
    return Bar(
        what=f"HAProxy's CPU for a request to the last of {points[-1]['lines']:,} servers,"
        f" to one of {points[0]['lines']:,}",
        wanted=f"the same (at most {_MOST_OF_FIRST})",
        measured=number(last),
        met=last <= _MOST_OF_FIRST,
    )


def _times(points: Sequence[Point]) -> Plot:
    return Plot(
        file="growth-times.svg",
        kind="line",
        title="A change of the edge, by the number of servers",
        alt="Seconds for haproxy -c and for a reload, by the number of servers",
        x_label="servers",
        y_label="s",
        x_log=True,
        y_log=True,
        series=(
            _series("haproxy -c", points, [spread(each["check_seconds"]) for each in points]),
            _series("reload", points, [spread(each["reload_seconds"]) for each in points]),
        ),
    )


def _routing(points: Sequence[Point]) -> Plot:
    return Plot(
        file="growth-routing.svg",
        kind="line",
        title="HAProxy's CPU for a request, by the number of servers",
        alt="Microseconds of CPU for a request to the first and to the last service",
        x_label="servers",
        y_label="µs",
        x_log=True,
        series=tuple(
            _series(
                f"to the {which} service",
                points,
                [spread(each["cpu_seconds_per_request"][which]).scaled(1e6) for each in points],
            )
            for which in ("first", "last")
        ),
    )


def _series(label: str, points: Iterable[Point], spreads: Sequence[Spread]) -> Series:
    return series_of(label, tuple(float(point["lines"]) for point in points), spreads)
