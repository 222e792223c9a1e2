"""The plan of a load: which requests are made, and which targets and rates are refused."""

import re
from typing import Any

import pytest

from lab.load.plan import ClientKind, LoadError, LoadPlan, mixed, pieces, post_body, target
from lab.load.section import percentile


def plan(**changes: Any) -> LoadPlan:
    values = {"address": "127.0.0.1", "host": "hello.lab", "rate": 10.0, **changes}
    return LoadPlan(port=80, body=re.compile("hello"), **values)


def test_shares_are_kept_and_evenly() -> None:
    kinds = mixed({ClientKind.NEW: 3, ClientKind.POST: 1})
    first = [next(kinds) for _ in range(8)]
    assert first.count(ClientKind.POST) == 2
    assert ClientKind.POST in first[:4]


def test_a_body_is_its_own_and_comes_in_whole_pieces() -> None:
    body = post_body("r-1", 2048)
    assert len(body) == 2048
    assert body != post_body("r-2", 2048)
    cut = pieces(body, 5)
    assert b"".join(cut) == body
    assert all(cut)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 0.5, None),
        ([1.0], 0.99, 1.0),
        ([float(number) for number in range(1, 101)], 0.99, 99.0),
        ([float(number) for number in range(1, 101)], 0.5, 50.0),
        ([float(number) for number in range(1, 102)], 0.99, 100.0),
        ([1.0, 2.0], 1, 2.0),
    ],
)
def test_percentiles(values: list[float], share: float, expected: float | None) -> None:
    assert percentile(values, share) == expected


@pytest.mark.parametrize("address", ["8.8.8.8", "192.168.122.30", "198.20.0.1", "10.91.0.1", "::1"])
def test_load_goes_to_the_lab_only(address: str) -> None:
    with pytest.raises(LoadError, match=f"{address}: load goes to loopback and to a lab's"):
        plan(address=address)
    for allowed in ("127.0.0.1", "198.18.0.1", "10.90.0.7"):
        plan(address=allowed)


@pytest.mark.parametrize("text", ["hello.lab:80", "198.18.0.1", "198.18.0.1:http", ""])
def test_a_target_is_an_address_and_a_port(text: str) -> None:
    with pytest.raises(LoadError, match="must be address:port"):
        target(text)


@pytest.mark.parametrize("rate", [0, -1, 5000])
def test_the_rate_has_bounds(rate: float) -> None:
    with pytest.raises(LoadError, match="rate: must be above 0 and at most 2000/s"):
        plan(rate=rate)
