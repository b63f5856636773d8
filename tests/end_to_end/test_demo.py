"""The living demo, seen from outside: its UI in a browser, marts that move by themselves, and Ctrl-C."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.demo_process import (
    SCALE,
    Demo,
    prepared,
    processes_of,
    running_demo,
    shopsphere,
    wait_until,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.timeout(600)

GROUPS = ("raw_shop_db", "staging_shop_db", "sales", "customers", "publication")
SENSORS = ("automation", "shop_db_sensor", "hubspot_sensor", "web_logs_sensor")


def _published(home: Path) -> dict[str, Any]:
    """Version and latest day of the current publication, as a reader finds it while the demo runs."""
    query = "select (select version from publication.info) as version, max(sales_date) as day from fct_daily_sales"
    answer = shopsphere(home, "sql", query, "--format", "json")
    assert answer.returncode == 0, answer.stderr
    [found] = json.loads(answer.stdout)
    return dict(found)


def _batches_of_orders(home: Path) -> int:
    tables = {table["table"]: table for table in json.loads(shopsphere(home, "status", "--json").stdout)["tables"]}
    assert tables["shop_db/orders"]["watermark"] > "2026-04-02"
    return int(tables["shop_db/orders"]["batches"])


def _not_materialized(demo: Demo) -> set[str]:
    data = demo.ask("{ assetNodes { assetKey { path } assetMaterializations(limit: 1) { runId } } }")
    assert len(data["assetNodes"]) == 85
    return {"/".join(n["assetKey"]["path"]) for n in data["assetNodes"] if not n["assetMaterializations"]}


def _open(page: Page, demo: Demo, path: str, *texts: str) -> None:
    """Open a page of the UI, and see the texts on it and no error."""
    from playwright.sync_api import expect

    page.goto(demo.url + path)
    for text in texts:
        expect(page.get_by_text(text, exact=True).first).to_be_visible(timeout=60_000)
    expect(page.get_by_text("error", exact=False)).to_have_count(0)
    expect(page.get_by_text("went wrong", exact=False)).to_have_count(0)


def _look_at(demo: Demo, browser: Browser) -> None:
    from playwright.sync_api import expect

    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    _open(page, demo, "/asset-groups", "Global asset lineage", *GROUPS)
    _open(
        page,
        demo,
        "/assets/raw/shop_db/customers",
        "People who have an account in the shop.",
        "birth_date",
        "personal: demographic",
        "non-nullable",
        "rows read",
        "rows quarantined",
        "watermark",
        "Shop database",
    )
    _open(page, demo, "/assets/sales/fct_orders", "settlement_status", "numeric(18, 2)", "after_upstream")
    lineage = ("column lineage", "sales/fct_orders.items_amount")
    _open(page, demo, "/assets/sales/fct_daily_sales?view=events", *lineage)
    _open(page, demo, "/assets/raw/shop_db/orders?view=checks", "quarantine_share", "ledger_closes", "unique_key")
    _open(page, demo, "/automation", *SENSORS, "nightly")
    switches = page.get_by_role("switch").or_(page.locator("input[type=checkbox][role=switch]"))
    if switches.count():
        for switch in switches.all():
            expect(switch).to_be_checked()


def test_the_shop_lives_the_marts_follow_and_ctrl_c_stops_everything(tmp_path: Path, browser: Browser) -> None:
    home = prepared().copy_to(tmp_path)
    assert shopsphere(home, "simulate", "--days", "2").returncode == 0
    with running_demo(home, "--scale", SCALE, "--seconds-per-day", "30") as demo:
        demo.wait_for_the_ui()
        # A second demo goes on where the first stopped, and takes in what is new.
        assert "Published version 2: 21 tables" in demo.output
        assert "Simulating the shop" not in demo.output
        # At night only.
        assert _not_materialized(demo) == {"quality/near_duplicates"}
        before = _published(home)
        assert before["version"] >= 2
        assert before["day"] >= "2026-04-02"
        assert _batches_of_orders(home) >= 2
        _look_at(demo, browser)
        wait_until(lambda: "In the shop it is now Saturday 2026-04-04." in demo.output, "the shop's next day")
        wait_until(lambda: _published(home)["version"] > before["version"], "marts that follow by themselves")
        assert "clock has stopped" not in demo.output
        assert processes_of(home) != []
        assert demo.interrupt() == 0
        assert "Stopping." in demo.output
        assert "Traceback" not in demo.output
    wait_until(lambda: processes_of(home) == [], "the end of every process of the demo")
    # What was published stays, and the shop's time has gone on.
    assert _published(home)["version"] > before["version"]
    state = json.loads((home / "simulator" / "state.json").read_text())
    assert state["next_day"] > 92
