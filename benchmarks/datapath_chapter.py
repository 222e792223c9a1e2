"""The chapter of the data path, from its raw data. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from benchmarks.chapters import Bar, Chapter, Plot, Series, series_of
from benchmarks.path.application import RATE, SMALL
from benchmarks.path.load_tools import CONNECTIONS, KEPT
from benchmarks.path.tiers import ALONE, BOTH, HAPROXY, TRAEFIK
from benchmarks.path.variations import AS_DEPLOYED
from benchmarks.stats import Spread, paired, spread
from benchmarks.tables import median_range, number, table

APACHE = "Apache"
_LEAST_OF_TRAEFIK = 0.8
_MOST_OF_TRAEFIKS_CPU = 1 / 3
_GROWS = 0.9
"""Of N times what one VM answers, as long as the edge is not the limit."""

Cell = Mapping[str, Any]


def chapter(raw: Mapping[str, Any]) -> Chapter:
    """Return the chapter."""
    cells: list[Cell] = raw["cells"]
    loads = list(dict.fromkeys(map(_load, cells)))
    return Chapter(
        title="The data path",
        text="\n\n".join(
            [
                _how(raw),
                *(block for load in loads for block in _block(load, cells)),
                "### What each setting costs",
                "Each line is both tiers with one setting changed, in turns with both tiers as they"
                f" are deployed: kept connections, {SMALL}, one VM. Figures are ratios to the"
                " neighboring run as deployed. More requests and less processor time are better.",
                _variations(raw["variations"]),
                "### More VMs",
                f"Each VM's container is limited to {RATE:,} requests/s.",
                _vms(raw["vms"]),
            ]
        ),
        meaning=_meaning(cells, raw["vms"]),
        bars=tuple(_bars(cells, raw["vms"])),
        plots=(_fronts_plot(cells), _vms_plot(raw["vms"])),
    )


def _meaning(cells: Sequence[Cell], vms: Sequence[Cell]) -> tuple[str, ...]:
    both = [cell for cell in cells if cell["front"] == BOTH and cell["backends"] == 1]
    compared = ", and ".join(
        f"{min(found):.2f} to {max(found):.2f} times as many requests per second as {front} alone"
        for front, other in ((APACHE, APACHE), ("Traefik", ALONE))
        if (found := _of_front(cells, both, other))
    )
    cpu = ", ".join(
        f"{tier} {number(spread(values).median * 1e6)} µs"
        for tier, values in both[0]["cpu_seconds_per_request"].items()
        if values
    )
    one = spread(vms[0]["requests_per_second"]).median
    more = ", ".join(
        f"{each['backends']} VMs answer"
        f" {spread(each['requests_per_second']).median / one:.1f} times as much"
        for each in vms[1:]
    )
    return (
        "**Two tiers cost speed.** On the same processors, HAProxy and Traefik together answer"
        f" {compared}. A request ({both[0]['size']},"
        f" {both[0]['connections']} connections) takes this processor time: {cpu}.",
        "**More VMs carry more**, until the edge's processors are the limit. Compared with one VM,"
        f" {more}.",
    )


def _of_front(cells: Sequence[Cell], both: Sequence[Cell], front: str) -> list[float]:
    """Return the ratios of both tiers' requests per second to those of a front, by load."""
    pairs = ((cell, _of(cells, front, _load(cell))) for cell in both)
    return [
        paired(cell["requests_per_second"], other["requests_per_second"]).median
        for cell, other in pairs
        if other is not None
    ]


def _how(raw: Mapping[str, Any]) -> str:
    return (
        f"There are {CONNECTIONS} connections with TLS 1.3, a key of P-256 and HTTP/1.1, in runs of"
        f" {raw['seconds_of_a_run']:g} s; the fronts take turns. The load generator (wrk), the"
        " application (nginx with two files) and the measured programs share the machine's"
        " processors, so a front gets what the others leave. New connections (ab) make a full"
        " handshake each, which costs the load generator as much as the server.\n\n"
        "Each front writes its access log: Apache and nginx `combined`, Traefik and HAProxy as they"
        " are deployed. Apache has Debian's settings. It closes connections after 100 requests and"
        " when it ends threads; requests that were sent on one at that moment count as failed."
        " *Apache, tuned* has all its threads from the start and keeps connections, and so does"
        " nginx. *Traefik alone* has the flags of a VM's Traefik and ends TLS itself.\n\n"
        "*N backends* are N containers; for HAProxy → Traefik they are N VMs, each with a Traefik"
        " and one container. *Load* is the processor time of the load generator."
    )


def _load(cell: Cell) -> tuple[int, str, str]:
    return cell["backends"], cell["connections"], cell["size"]


def _of(cells: Iterable[Cell], front: str, load: tuple[int, str, str]) -> Cell | None:
    return next((each for each in cells if each["front"] == front and _load(each) == load), None)


def _block(load: tuple[int, str, str], cells: Sequence[Cell]) -> list[str]:
    backends, connections, size = load
    fronts = [cell for cell in cells if _load(cell) == load]
    apache = _of(cells, APACHE, load)
    return [
        f"### {size}, {connections} connections, {backends} backend{'s' if backends > 1 else ''}",
        table(
            (
                *("", "requests/s", "to Apache", "p50, ms", "p99, ms"),
                *("CPU, µs/request", "load, µs/request", "failed"),
            ),
            [
                (
                    cell["front"],
                    median_range(spread(cell["requests_per_second"])),
                    _ratio(cell, apache, "requests_per_second"),
                    median_range(spread(cell["p50_seconds"]).scaled(1e3)),
                    median_range(spread(cell["p99_seconds"]).scaled(1e3)),
                    _cpu(cell),
                    number(spread(cell["generator_cpu_seconds_per_request"]).median * 1e6),
                    str(sum(cell["errors"])),
                )
                for cell in fronts
            ],
        ),
    ]


def _ratio(cell: Cell, floor: Cell | None, key: str) -> str:
    return number(paired(cell[key], floor[key]).median) if floor else ""


def _cpu(cell: Cell) -> str:
    return ", ".join(
        f"{tier} {number(spread(values).median * 1e6)}"
        for tier, values in cell["cpu_seconds_per_request"].items()
        if values
    )


def _variations(cells: Sequence[Cell]) -> str:
    base = next(cell for cell in cells if cell["front"] == AS_DEPLOYED)

    def cpu(cell: Cell, tier: str) -> list[float]:
        values: list[float] = cell["cpu_seconds_per_request"][tier]
        return values

    return table(
        ("", "requests/s", "CPU of HAProxy", "CPU of Traefik", "p99"),
        [
            (
                cell["front"],
                median_range(paired(cell["requests_per_second"], base["requests_per_second"])),
                median_range(paired(cpu(cell, HAPROXY), cpu(base, HAPROXY))),
                median_range(paired(cpu(cell, TRAEFIK), cpu(base, TRAEFIK))),
                median_range(paired(cell["p99_seconds"], base["p99_seconds"])),
            )
            for cell in cells
        ],
    )


def _vms(cells: Sequence[Cell]) -> str:
    first = spread(cells[0]["requests_per_second"]).median
    return table(
        ("VMs", "requests/s", "to one VM", "p99, ms", "CPU, µs/request", "failed"),
        [
            (
                str(cell["backends"]),
                median_range(spread(cell["requests_per_second"])),
                number(spread(cell["requests_per_second"]).median / first),
                median_range(spread(cell["p99_seconds"]).scaled(1e3)),
                _cpu(cell),
                str(sum(cell["errors"])),
            )
            for cell in cells
        ],
    )


def _bars(cells: Sequence[Cell], vms: Sequence[Cell]) -> Iterable[Bar]:
    yield _compared(
        cells,
        "Both tiers' requests/s, to Apache's",
        APACHE,
        lambda both, other: paired(both["requests_per_second"], other["requests_per_second"]),
        ("at least 1", lambda ratio: ratio >= 1),
    )
    yield _compared(
        cells,
        "Both tiers' requests/s, to Traefik's alone",
        ALONE,
        lambda both, other: paired(both["requests_per_second"], other["requests_per_second"]),
        (f"at least {_LEAST_OF_TRAEFIK}", lambda ratio: ratio >= _LEAST_OF_TRAEFIK),
    )
    yield _compared(
        cells,
        "Both tiers' p99, to Apache's",
        APACHE,
        lambda both, other: paired(both["p99_seconds"], other["p99_seconds"]),
        ("at most 1", lambda ratio: ratio <= 1),
    )
    yield _compared(
        cells,
        "HAProxy's CPU per request, to Traefik's behind it",
        BOTH,
        lambda both, _: paired(
            both["cpu_seconds_per_request"][HAPROXY], both["cpu_seconds_per_request"][TRAEFIK]
        ),
        ("under 1/3", lambda ratio: ratio < _MOST_OF_TRAEFIKS_CPU),
    )
    failed = sum(sum(cell["errors"]) for cell in (*cells, *vms) if cell["front"] == BOTH)
    yield Bar(
        what="Failed requests through both tiers", wanted="0", measured=str(failed), met=failed == 0
    )
    one = spread(vms[0]["requests_per_second"]).median
    grown = {
        cell["backends"]: spread(cell["requests_per_second"]).median / one / cell["backends"]
        for cell in vms[1:]
    }
    yield Bar(
        what="Requests/s with N VMs, to N times those with one",
        wanted=f"at least {_GROWS}, until the edge is the limit",
        measured=", ".join(f"{number(ratio)} ({vms} VMs)" for vms, ratio in grown.items()),
        met=next(iter(grown.values()), 0) >= _GROWS,
    )


def _compared(
    cells: Sequence[Cell],
    what: str,
    other: str,
    compare: Callable[[Cell, Cell], Spread],
    wanted: tuple[str, Callable[[float], bool]],
) -> Bar:
    """A bar for all loads with one backend, which is met if it is in each of them."""
    measured, met = [], True
    for each in cells:
        if each["front"] == BOTH and each["backends"] == 1:
            its = _of(cells, other, _load(each))
            if its is not None:
                ratio = compare(each, its).median
                measured.append(f"{number(ratio)} ({each['size']}, {each['connections']})")
                met = met and wanted[1](ratio)
    return Bar(what=what, wanted=wanted[0], measured=", ".join(measured), met=met)


def _fronts_plot(cells: Sequence[Cell]) -> Plot:
    shown = [cell for cell in cells if cell["backends"] == 1 and cell["connections"] == KEPT]
    fronts = tuple(dict.fromkeys(cell["front"] for cell in shown))
    sizes = dict.fromkeys(cell["size"] for cell in shown)
    series = []
    for size in sizes:
        spreads = [
            spread(cell["requests_per_second"])
            for front in fronts
            for cell in shown
            if (cell["front"], cell["size"]) == (front, size)
        ]
        series.append(series_of(f"{size}, kept connections", fronts, spreads))
    return Plot(
        file="datapath-fronts.svg",
        kind="bar",
        title="Requests per second through each front",
        alt="Requests per second for answers of 1 KB and 100 KB through each front",
        x_label="",
        y_label="requests/s",
        series=tuple(series),
    )


def _vms_plot(cells: Sequence[Cell]) -> Plot:
    counts = tuple(float(cell["backends"]) for cell in cells)
    spreads = [spread(cell["requests_per_second"]) for cell in cells]
    ideal = Series(
        label="N times one VM",
        x=counts,
        y=tuple(spreads[0].median / counts[0] * count for count in counts),
        dashed=True,
    )
    return Plot(
        file="datapath-vms.svg",
        kind="line",
        title=f"VMs that answer {RATE:,} requests/s each",
        alt="Requests per second through both tiers by the number of VMs",
        x_label="VMs",
        y_label="requests/s",
        series=(series_of("both tiers", counts, spreads), ideal),
    )
