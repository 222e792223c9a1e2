"""Maintenance and error pages of a service behind the edge, as a client notices them."""

import os
from pathlib import Path

import pytest

from components.edge.pages import MOST_BYTES
from lab.loopback.site import Site
from remote.edge_agent.system import poll
from tests.support.containers import App
from tests.support.shop import H2, SHOP, hashed, serve, statuses
from tests.support.two_tiers import curl

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="the edge's HAProxy is started by root: run this as root"
)


def test_maintenance_is_a_switch_and_checks_go_on(site: Site, app: App) -> None:
    serve(site, app)
    assert statuses(site, 1) == [200]
    serve(site, app, maintenance=True)
    answer = curl(site, SHOP)
    assert (answer.status, answer.header("retry-after")) == (503, "300")
    assert b"Down for maintenance" in answer.body
    assert answer.header("content-type") == "text/html; charset=utf-8"
    before = app.edge_checks
    assert poll(lambda: app.edge_checks > before + 1, 10)
    serve(site, app)
    assert statuses(site, 3) == [200] * 3, "at once"


def test_pages_stand_in_for_errors_of_the_edge_and_of_servers(
    site: Site, app: App, tmp_path: Path
) -> None:
    pages = {status: tmp_path / f"{status}.html" for status in ("502", "503", "504")}
    for status, page in pages.items():
        page.write_text(f'<p title="100% ${status}">’{status}’</p>\n')
    wanted = {status: str(page) for status, page in pages.items()}
    serve(site, app, error_pages=wanted, timeout="1s")
    for status, page in pages.items():
        answer = curl(site, f"{SHOP}/status/{status}", "--data", "x")
        assert (answer.status, answer.body) == (int(status), page.read_bytes())
    assert curl(site, f"{SHOP}/status/500").json["name"] == "app", "the application's own"
    late = curl(site, f"{SHOP}/hold")
    assert (late.status, late.body) == (504, pages["504"].read_bytes())
    app.stop()
    assert poll(lambda: curl(site, SHOP).status == 503, 10)
    assert curl(site, SHOP).body == pages["503"].read_bytes()


def test_each_answer_of_the_edge_can_have_a_page(site: Site, app: App, tmp_path: Path) -> None:
    """All but those that are tested with what they answer."""
    statuses = ("401", "413", "429", "502")
    for status in statuses:
        (tmp_path / status).write_text(f"page {status}")
    pages = {status: str(tmp_path / status) for status in statuses}
    serve(site, app, error_pages=pages, basic_auth={"alice": hashed("a")})
    answer = curl(site, SHOP)
    assert (answer.status, answer.body) == (401, b"page 401")
    assert answer.header("www-authenticate") == 'Basic realm="shop"'
    serve(site, app, error_pages=pages, rate_limit={"requests": 1, "per": "1h"})
    answers = [curl(site, SHOP) for _ in range(2)]
    assert [answers[1].status, answers[1].body] == [429, b"page 429"]
    assert answers[1].header("retry-after") == "3600"
    serve(site, app, error_pages=pages, max_body="1MiB")
    large = tmp_path / "large"
    large.write_bytes(b"x" * (2**20 + 1))
    answer = curl(site, SHOP, "--data-binary", f"@{large}")
    assert (answer.status, answer.body) == (413, b"page 413")
    answer = curl(site, f"{SHOP}/hang-up", "--data", "x")
    assert (answer.status, answer.body) == (502, b"page 502")


def test_a_page_that_changes_is_taken_up(site: Site, app: App, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    for text in ("one", "two"):
        page.write_text(text)
        serve(site, app, maintenance=True, error_pages={"503": str(page)})
        answer = curl(site, SHOP)
        assert (answer.status, answer.body.decode()) == (503, text)
        assert answer.header("retry-after") == "300"


def test_the_largest_page_and_the_longest_headers_go_together(
    site: Site, app: App, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    page.write_text("x" * MOST_BYTES)
    headers = {f"X-{number}": "y" * 490 for number in range(6)}
    serve(site, app, error_pages={"503": str(page)}, headers=headers)
    for options in ((), (H2,)):
        answer = curl(site, f"{SHOP}/status/503", *options)
        assert (answer.status, len(answer.body)) == (503, MOST_BYTES)
        assert answer.header("x-5") == "y" * 490
