"""A row that a steward fixes in the page is in the marts after the next build, with its history shown."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from resources.sql_source import SqlSource
from shopsphere_assets.ingestion.batch import Destination, ingest
from shopsphere_assets.ingestion.ledger import read_state
from shopsphere_assets.quarantine.entries import Quarantine
from tests.end_to_end.pipeline import TABLES, Platform
from tests.raw_tables import good_row
from tests.serving import steward_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.timeout(400)

ORDERS, ITEMS = TABLES["shop_db/orders"], TABLES["shop_db/order_items"]


def _fill(path: Path) -> None:
    """Two orders with an item each; the second in a currency that there is not."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for table in (ORDERS, ITEMS):
            connection.execute(f"CREATE TABLE {table.name} ({', '.join(table.column_types)})")
        for number, currency in ((1, "EUR"), (2, "XXQ")):
            order = {**good_row(ORDERS), "order_id": str(number), "currency": currency, "status": "delivered"}
            item = {**good_row(ITEMS), "order_item_id": str(number), "order_id": str(number)}
            for table, row in ((ORDERS, order), (ITEMS, item)):
                marks = ", ".join("?" * len(row))
                connection.execute(f"INSERT INTO {table.name} VALUES ({marks})", list(row.values()))


def _read(platform: Platform, path: Path) -> None:
    for table in (ORDERS, ITEMS):
        state = read_state(platform.warehouse, [table])[table.name]
        destination = Destination(platform.warehouse, platform.settings.lake)
        source = SqlSource(f"sqlite://{path}")
        ingest(table, source, destination, state=state, run_id="run", lookback=timedelta(days=1000))


def test_a_row_fixed_in_the_page_is_in_fct_orders_and_in_the_totals(tmp_path: Path, browser: Browser) -> None:
    platform = Platform(tmp_path / "home", {})
    platform.warehouse.prepare()
    platform.warehouse.ensure_tables([each for table in TABLES.values() for each in table.definitions])
    shop = tmp_path / "shop.db"
    _fill(shop)
    _read(platform, shop)

    def build() -> None:
        platform.dbt("run", "--select", "+fct_daily_sales")

    def marts() -> tuple[list[int], Any]:
        orders = platform.query("select order_id from build_sales.fct_orders order by 1")
        [total] = platform.query("select sum(orders) as n from build_sales.fct_daily_sales")["n"].to_list()
        return orders["order_id"].to_list(), total

    build()
    assert marts() == ([1], 1)
    quarantine = Quarantine(Destination(platform.warehouse, platform.settings.lake), TABLES)
    with steward_page(quarantine, tmp_path / "reports") as url:
        page = browser.new_page()
        page.goto(url)
        page.get_by_role("link", name="2", exact=True).click()
        page.fill("[name='cell.currency']", "EUR")
        page.fill("[name=reason]", "the till writes XXQ for euro")
        page.get_by_role("button", name="Re-admit", exact=True).click()
        assert "ada has re-admitted this row" in page.get_by_role("status").inner_text()
        # The look-back reads the bad row again; what people decided holds.
        _read(platform, shop)
        build()
        assert marts() == ([1, 2], 2)
        [amounts] = platform.query(
            "select count(distinct due_amount), min(due_amount) from build_sales.fct_orders"
        ).rows()
        assert amounts[0] == 1
        assert amounts[1] > Decimal(0)
        page.reload()
        assert "the till writes XXQ for euro" in page.locator(".history").inner_text()
        page.close()
