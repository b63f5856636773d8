"""``shopsphere reconcile``: what is compared, what is told, and the exit status."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from resources.settings import load_settings
from resources.warehouse import open_warehouse
from shopsphere_assets.defs.raw.shop_db import SHOP_DB
from shopsphere_assets.ingestion.batch import Destination, ingest
from shopsphere_assets.ingestion.connections import open_source
from shopsphere_assets.ingestion.ledger import read_state
from tests.raw_tables import good_row
from tests.unit.cli.conftest import Shopsphere

ORDERS = next(table for table in SHOP_DB.tables if table.name == "orders")


@pytest.fixture(autouse=True)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three orders that were read, of which one was deleted since, and a folder of tickets."""
    path = tmp_path / "shop.db"
    rows = [{**good_row(ORDERS), "order_id": str(number)} for number in (1, 2, 3)]
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TABLE orders ({', '.join(rows[0])})")
        connection.executemany(
            f"INSERT INTO orders VALUES ({', '.join('?' * len(rows[0]))})", [tuple(row.values()) for row in rows]
        )
    monkeypatch.setenv("SHOPSPHERE_SHOP_DB_URL", f"sqlite://{path}")
    monkeypatch.setenv("SHOPSPHERE_SUPPORT_URL", str(tmp_path))
    Path("sources.yaml").write_text("sources: {shop_db: {tables: {orders: }}, support: {}}")
    monkeypatch.setenv("SHOPSPHERE_SOURCES_FILE", "sources.yaml")
    settings = load_settings()
    warehouse = open_warehouse(settings.warehouse)
    warehouse.prepare()
    warehouse.ensure_tables([ORDERS.definition])
    state = read_state(warehouse, [ORDERS])["orders"]
    ingest(ORDERS, open_source(SHOP_DB, settings), Destination(warehouse, settings.lake), state=state, run_id="run")
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM orders WHERE order_id = '2'")
    return path


def test_deleted_rows_are_counted_here_and_in_the_status(shopsphere: Shopsphere) -> None:
    answer = shopsphere("reconcile", "--json")
    assert answer.status == 0
    orders, tickets = json.loads(answer.output)["tables"]
    assert (orders["table"], orders["rows_at_source"], orders["rows_deleted"]) == ("shop_db/orders", 2, 1)
    assert (orders["note"], orders["error"]) == (None, None)
    assert "only ever added" in tickets["note"]
    status = {table["table"]: table for table in json.loads(shopsphere("status", "--json").output)["tables"]}
    assert status["shop_db/orders"]["rows_deleted"] == 1


def test_people_get_a_table_and_the_reasons(shopsphere: Shopsphere) -> None:
    answer = shopsphere("reconcile")
    assert answer.status == 0
    [row] = [line for line in answer.output.splitlines() if "shop_db/orders" in line]
    assert row.split()[1:3] == ["2", "1"]
    assert "support/tickets: read from files" in answer.output


def test_one_table_can_be_chosen_and_an_unknown_one_is_refused(shopsphere: Shopsphere) -> None:
    found = json.loads(shopsphere("reconcile", "--json", "--table", "shop_db/orders").output)
    assert [table["table"] for table in found["tables"]] == ["shop_db/orders"]
    answer = shopsphere("reconcile", "--table", "shop_db/nothing")
    assert answer.status == 1
    assert "no raw table shop_db/nothing" in answer.errors


def test_an_emptied_source_is_believed_only_on_request(shopsphere: Shopsphere, shop: Path) -> None:
    with sqlite3.connect(shop) as connection:
        connection.execute("DELETE FROM orders")
    answer = shopsphere("reconcile", "--table", "shop_db/orders")
    assert answer.status == 0
    assert "--may-be-empty" in answer.output
    found = json.loads(shopsphere("reconcile", "--table", "shop_db/orders", "--may-be-empty", "--json").output)
    assert found["tables"][0]["rows_deleted"] == 3


def test_a_source_that_is_away_is_told_and_the_exit_status_says_so(shopsphere: Shopsphere, shop: Path) -> None:
    shop.unlink()
    answer = shopsphere("reconcile", "--json")
    assert answer.status == 1
    orders, _ = json.loads(answer.output)["tables"]
    assert "what to do" in orders["error"]
